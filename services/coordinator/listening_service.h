#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace evilmoe {

// Serves `service` (which must outlive the server) at "unix:/path" or "host:port". A Unix socket gets mode 0600; the
// file that a dead server left is removed. Call while no other thread makes files (umask). Unavailable: cannot listen;
// FailedPrecondition: a live server has the socket, or the path is something else.
absl::StatusOr<std::unique_ptr<grpc::Server>> StartListening(const std::string& address, grpc::Service& service);

}  // namespace evilmoe
