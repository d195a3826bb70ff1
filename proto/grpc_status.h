#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace evilmoe {

// Same code, same message, message capped at 1 KiB (gRPC sends it in a header).
grpc::Status ToGrpcStatus(const absl::Status& status);
// The codes of both libraries are the same numbers.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace evilmoe
