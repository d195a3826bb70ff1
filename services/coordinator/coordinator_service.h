#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <map>
#include <string>

#include "evilmoe/v1/coordinator.grpc.pb.h"
#include "proto/security/call_guard.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {

namespace coordinator_service_internal {
// The calls that take a message and give one, served by callbacks: one that waits holds no thread. Streams of bytes are
// served by a thread each, since they read and write files.
using Service = v1::CoordinatorService;
template <template <typename> typename... Methods>
struct Nest;
template <>
struct Nest<> {
  using Type = Service::Service;
};
template <template <typename> typename First, template <typename> typename... Rest>
struct Nest<First, Rest...> {
  using Type = First<typename Nest<Rest...>::Type>;
};
using Base = Nest<
    Service::WithCallbackMethod_SubmitRun, Service::WithCallbackMethod_SubmitJob, Service::WithCallbackMethod_GetRun,
    Service::WithCallbackMethod_ListRuns, Service::WithCallbackMethod_ListEvents, Service::WithCallbackMethod_GetStatus,
    Service::WithCallbackMethod_CancelRun, Service::WithCallbackMethod_PauseRun, Service::WithCallbackMethod_ResumeRun,
    Service::WithCallbackMethod_RetryRun, Service::WithCallbackMethod_AcquireJob,
    Service::WithCallbackMethod_HeartbeatJob, Service::WithCallbackMethod_ReleaseJob,
    Service::WithCallbackMethod_BeginJob, Service::WithCallbackMethod_OpenBatch,
    Service::WithCallbackMethod_FetchGroups, Service::WithCallbackMethod_CloseBatch,
    Service::WithCallbackMethod_RecordEvent, Service::WithCallbackMethod_FinishJob,
    Service::WithCallbackMethod_Heartbeat, Service::WithCallbackMethod_LeaseGroups,
    Service::WithCallbackMethod_AcknowledgeAdapter, Service::WithCallbackMethod_CompleteGroup,
    Service::WithCallbackMethod_AbandonGroup>::Type;
}  // namespace coordinator_service_internal

// What stands between a message and the core.
struct CoordinatorChecks {
  CallGuard* guard = nullptr;  // whether a caller may make a call; null: everybody may; must outlive the service
  // Whether a run may be taken, and where its directory is to be; null: as it says.
  std::function<absl::Status(RunRecord&)> run;
  std::function<absl::Status(const JobRecord&)> job;
};

// The gRPC face of the core: a handler checks the message's shape, makes one call and translates its answer.
// `core` and `metrics` must outlive it, and it every call. Thread-safe.
class CoordinatorServiceImpl final : public coordinator_service_internal::Base {
 public:
  CoordinatorServiceImpl(CoordinatorCore& core, CoordinatorMetrics& metrics, CoordinatorChecks checks = {});

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;
  Reactor* SubmitRun(Context*, const v1::SubmitRunRequest*, v1::SubmitRunResponse*) override;
  Reactor* SubmitJob(Context*, const v1::SubmitJobRequest*, v1::SubmitJobResponse*) override;
  Reactor* GetRun(Context*, const v1::GetRunRequest*, v1::Run*) override;
  Reactor* ListRuns(Context*, const v1::ListRunsRequest*, v1::ListRunsResponse*) override;
  Reactor* ListEvents(Context*, const v1::ListEventsRequest*, v1::ListEventsResponse*) override;
  Reactor* GetStatus(Context*, const v1::GetStatusRequest*, v1::GetStatusResponse*) override;
  Reactor* CancelRun(Context*, const v1::CancelRunRequest*, v1::Run*) override;
  Reactor* PauseRun(Context*, const v1::PauseRunRequest*, v1::Run*) override;
  Reactor* ResumeRun(Context*, const v1::ResumeRunRequest*, v1::Run*) override;
  Reactor* RetryRun(Context*, const v1::RetryRunRequest*, v1::Run*) override;

  Reactor* AcquireJob(Context*, const v1::AcquireJobRequest*, v1::AcquireJobResponse*) override;
  Reactor* HeartbeatJob(Context*, const v1::HeartbeatJobRequest*, v1::HeartbeatJobResponse*) override;
  Reactor* ReleaseJob(Context*, const v1::ReleaseJobRequest*, v1::ReleaseJobResponse*) override;
  Reactor* BeginJob(Context*, const v1::BeginJobRequest*, v1::BeginJobResponse*) override;
  Reactor* OpenBatch(Context*, const v1::OpenBatchRequest*, v1::OpenBatchResponse*) override;
  Reactor* FetchGroups(Context*, const v1::FetchGroupsRequest*, v1::FetchGroupsResponse*) override;
  Reactor* CloseBatch(Context*, const v1::CloseBatchRequest*, v1::CloseBatchResponse*) override;
  Reactor* RecordEvent(Context*, const v1::RecordEventRequest*, v1::RecordEventResponse*) override;
  Reactor* FinishJob(Context*, const v1::FinishJobRequest*, v1::FinishJobResponse*) override;

  Reactor* Heartbeat(Context*, const v1::HeartbeatRequest*, v1::HeartbeatResponse*) override;
  Reactor* LeaseGroups(Context*, const v1::LeaseGroupsRequest*, v1::LeaseGroupsResponse*) override;
  Reactor* AcknowledgeAdapter(Context*, const v1::AcknowledgeAdapterRequest*,
                              v1::AcknowledgeAdapterResponse*) override;
  Reactor* CompleteGroup(Context*, const v1::CompleteGroupRequest*, v1::CompleteGroupResponse*) override;
  Reactor* AbandonGroup(Context*, const v1::AbandonGroupRequest*, v1::AbandonGroupResponse*) override;

  // ---- streams (stream_service.cc) ----
  grpc::Status PublishAdapter(grpc::ServerContext*, grpc::ServerReader<v1::PublishAdapterRequest>*,
                              v1::PublishAdapterResponse*) override;
  grpc::Status FetchAdapter(grpc::ServerContext*, const v1::FetchAdapterRequest*,
                            grpc::ServerWriter<v1::FetchAdapterResponse>*) override;
  grpc::Status ReadRunFile(grpc::ServerContext*, const v1::ReadRunFileRequest*,
                           grpc::ServerWriter<v1::ReadRunFileResponse>*) override;
  grpc::Status ListRunFiles(grpc::ServerContext*, const v1::ListRunFilesRequest*,
                            v1::ListRunFilesResponse*) override;

 private:
  // Answers a call with a status, once.
  using Finish = std::function<void(const absl::Status&)>;
  // Runs body(finish) -> Status for a caller that may make the call: OK: finish is or will be called; else the call ends
  // with that error.
  template <typename Body>
  Reactor* Serve(Context* context, const char* method, Body body);
  // The same for a stream: the body's status is the call's.
  template <typename Body>
  grpc::Status ServeStream(grpc::ServerContext* context, const char* method, Body body);
  absl::StatusOr<CallPermit> Permit(const grpc::ServerContextBase& context, const char* method) const;

  CoordinatorCore& core_;
  const CoordinatorChecks checks_;
  std::map<std::string, prometheus::Histogram*, std::less<>> seconds_;  // by method; filled once
};

}  // namespace evilmoe
