#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/security/listen_config.h"

namespace evilmoe {

// How the page's connections are encrypted: TLS 1.2 or newer. Certificate and key are read at every handshake, so new
// ones serve the connections that come then. Thread-safe.
class PageTls {
 public:
  // Errors of certificate_files.h.
  static absl::StatusOr<std::unique_ptr<PageTls>> Create(const ServerSecurity& security, absl::Time now);
  ~PageTls();

  // An SSL_CTX of OpenSSL, which this owns.
  void* context() const { return context_; }

 private:
  explicit PageTls(ServerSecurity security) : security_(std::move(security)) {}
  bool SetUp();

  const ServerSecurity security_;
  void* context_ = nullptr;
};

}  // namespace evilmoe
