#pragma once

#include <grpcpp/server_context.h>

#include <string_view>

#include "absl/status/statusor.h"
#include "proto/security/call_guard.h"

namespace evilmoe {

// CallGuard::Admit() for a handler, whichever its API is; call it before all else, with the bare name of the method
// ("GetRun"), and keep the permit until the call is answered: on the stack of a synchronous handler, in the reactor of
// a callback one.
absl::StatusOr<CallPermit> Admit(CallGuard& guard, const grpc::ServerContextBase& context, std::string_view method);

}  // namespace evilmoe
