#include "proto/security/call_guard_service.h"

#include <string>

namespace evilmoe {

absl::StatusOr<CallPermit> Admit(CallGuard& guard, const grpc::ServerContextBase& context, std::string_view method) {
  const std::string peer = context.peer();
  Caller caller{.peer = peer};
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  if (begin != end) {
    caller.authorization = std::string_view(begin->second.data(), begin->second.size());
    caller.ambiguous = std::next(begin) != end;
  }
  return guard.Admit(caller, method);
}

}  // namespace evilmoe
