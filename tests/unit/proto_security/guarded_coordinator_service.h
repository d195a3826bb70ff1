#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "evilmoe/v1/coordinator.grpc.pb.h"
#include "proto/security/call_guard_service.h"
#include "proto/security/listening_service.h"

namespace evilmoe {

// A coordinator with an empty list of runs behind a guard, by the synchronous API.
class GuardedCoordinator final : public v1::CoordinatorService::Service {
 public:
  explicit GuardedCoordinator(CallGuard& guard) : guard_(guard) {}
  grpc::Status ListRuns(grpc::ServerContext* context, const v1::ListRunsRequest*, v1::ListRunsResponse*) override;
  grpc::Status SubmitRun(grpc::ServerContext* context, const v1::SubmitRunRequest*, v1::SubmitRunResponse*) override;
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest*, v1::HeartbeatResponse*) override;

 private:
  CallGuard& guard_;
};

// Its LeaseGroups waits until it is let go, by the callback API; the permit waits with it.
class WaitingCoordinator final : public v1::CoordinatorService::CallbackService {
 public:
  explicit WaitingCoordinator(CallGuard& guard) : guard_(guard) {}
  grpc::ServerUnaryReactor* LeaseGroups(grpc::CallbackServerContext* context, const v1::LeaseGroupsRequest*,
                                        v1::LeaseGroupsResponse*) override;
  // False: fewer calls wait after a long time.
  bool AwaitWaiting(size_t num_calls);
  void LetGo();

 private:
  class Call;
  CallGuard& guard_;
  Mutex mu_;
  std::vector<Call*> waiting_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
