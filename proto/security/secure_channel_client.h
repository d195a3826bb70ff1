#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proto/security/channel_security.h"

namespace evilmoe {

// A channel to "unix:/path" or "host:port": plain over a Unix socket, and over TCP without a ca; else TLS, with the
// client's certificate where there is one. Every call carries the token, where there is one. Certificates and token are
// read again when their files change. Connects with the first call.
//
// Errors: CheckChannelSecurity(), CheckChannelFiles().
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& address, const ChannelSecurity& security,
                                                           grpc::ChannelArguments arguments);

// What gRPC says of a connection that could not be made, with what to do where TLS is why. Others stay as they are.
absl::Status ExplainConnection(const absl::Status& status);

}  // namespace evilmoe
