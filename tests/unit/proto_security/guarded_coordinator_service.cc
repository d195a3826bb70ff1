#include "tests/unit/proto_security/guarded_coordinator_service.h"

#include <utility>

#include "proto/grpc_status.h"

namespace evilmoe {

grpc::Status GuardedCoordinator::ListRuns(grpc::ServerContext* context, const v1::ListRunsRequest*,
                                          v1::ListRunsResponse*) {
  return ToGrpcStatus(Admit(guard_, *context, "ListRuns").status());
}

grpc::Status GuardedCoordinator::SubmitRun(grpc::ServerContext* context, const v1::SubmitRunRequest*,
                                           v1::SubmitRunResponse*) {
  return ToGrpcStatus(Admit(guard_, *context, "SubmitRun").status());
}

grpc::Status GuardedCoordinator::Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest*,
                                           v1::HeartbeatResponse*) {
  return ToGrpcStatus(Admit(guard_, *context, "Heartbeat").status());
}

class WaitingCoordinator::Call final : public grpc::ServerUnaryReactor {
 public:
  explicit Call(CallPermit permit) : permit_(std::move(permit)) {}
  void OnDone() override { delete this; }

 private:
  const CallPermit permit_;
};

grpc::ServerUnaryReactor* WaitingCoordinator::LeaseGroups(grpc::CallbackServerContext* context,
                                                          const v1::LeaseGroupsRequest*, v1::LeaseGroupsResponse*) {
  absl::StatusOr<CallPermit> permit = Admit(guard_, *context, "LeaseGroups");
  if (!permit.ok()) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(permit.status()));
    return reactor;
  }
  auto* call = new Call(*std::move(permit));
  const MutexLock lock(mu_);
  waiting_.push_back(call);
  mu_.NotifyAll();
  return call;
}

bool WaitingCoordinator::AwaitWaiting(size_t num_calls) {
  const MutexLock lock(mu_);
  return mu_.AwaitFor(absl::Seconds(20), [&] { return waiting_.size() >= num_calls; });
}

void WaitingCoordinator::LetGo() {
  std::vector<Call*> calls;
  {
    const MutexLock lock(mu_);
    calls.swap(waiting_);
  }
  for (Call* call : calls) call->Finish(grpc::Status::OK);
}

}  // namespace evilmoe
