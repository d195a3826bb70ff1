#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/security/listen_config.h"

namespace evilmoe {

struct ListeningOptions {
  ListenConfig listen;
  int max_threads = 0;  // of a synchronous service, where a call that waits holds one; 0 = as many as gRPC likes
  // How often certificates and keys are looked at, in whole seconds; new ones serve the connections that come then.
  absl::Duration reload_interval = absl::Seconds(10);
};

struct ListeningServer {
  std::unique_ptr<grpc::Server> server;
  std::vector<int> ports;  // one an address; the one that was taken where the address has port 0; 1 for Unix sockets
};

// Serves `services` (which must outlive the server) at every address: TCP under TLS where a certificate is configured,
// else plain; a Unix socket with mode 0600 in place of the file that a dead server left. What the addresses need is
// ReadListenConfig()'s to check, roles and numbers of calls are CallGuard's. Call while no other thread makes files
// (umask).
//
// Unavailable: cannot listen, with the address. FailedPrecondition: a live server has the socket, or the path is
// something else, or the certificate is not valid at `now`. NotFound, InvalidArgument: certificate_files.h.
absl::StatusOr<ListeningServer> StartListening(const ListeningOptions& options,
                                               const std::vector<grpc::Service*>& services, absl::Time now);

}  // namespace evilmoe
