#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/security/listen_config.h"

namespace evilmoe {

struct TlsFrontOptions {
  int max_connections = 32;                     // a thread each; who comes beyond is turned away
  absl::Duration patience = absl::Seconds(10);  // for a handshake, and for what the other side does not take
};

// Takes TLS connections (1.2 or newer) and forwards what they carry to a plain port of loopback. Certificate and key are
// read at every handshake, so new ones serve the connections that come then. Owns its threads.
class TlsFront {
 public:
  // Unavailable: cannot listen at `address` ("host:port"). Errors of certificate_files.h.
  static absl::StatusOr<std::unique_ptr<TlsFront>> Start(const std::string& address, const ServerSecurity& security,
                                                         int inner_port, const TlsFrontOptions& options, absl::Time now);
  // Ends every connection.
  ~TlsFront();

  int port() const;

 private:
  class Impl;
  explicit TlsFront(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
