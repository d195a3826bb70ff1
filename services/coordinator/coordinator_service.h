#pragma once

#include <grpcpp/grpcpp.h>

#include "evilmoe/v1/coordinator.grpc.pb.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {

// The gRPC face of the core: a handler checks the message's shape, makes one call and translates.
// `core` and `metrics` must outlive it. Thread-safe.
class CoordinatorServiceImpl final : public v1::CoordinatorService::Service {
 public:
  CoordinatorServiceImpl(CoordinatorCore& core, CoordinatorMetrics& metrics) : core_(core), metrics_(metrics) {}

  using Context = grpc::ServerContext;
  grpc::Status SubmitRun(Context*, const v1::SubmitRunRequest*, v1::SubmitRunResponse*) override;
  grpc::Status SubmitJob(Context*, const v1::SubmitJobRequest*, v1::SubmitJobResponse*) override;
  grpc::Status GetRun(Context*, const v1::GetRunRequest*, v1::Run*) override;
  grpc::Status ListRuns(Context*, const v1::ListRunsRequest*, v1::ListRunsResponse*) override;
  grpc::Status CancelRun(Context*, const v1::CancelRunRequest*, v1::Run*) override;
  grpc::Status ListEvents(Context*, const v1::ListEventsRequest*, v1::ListEventsResponse*) override;

  grpc::Status AcquireJob(Context*, const v1::AcquireJobRequest*, v1::AcquireJobResponse*) override;
  grpc::Status BeginJob(Context*, const v1::BeginJobRequest*, v1::BeginJobResponse*) override;
  grpc::Status PublishAdapter(Context*, grpc::ServerReader<v1::PublishAdapterRequest>*,
                              v1::PublishAdapterResponse*) override;
  grpc::Status OpenBatch(Context*, const v1::OpenBatchRequest*, v1::OpenBatchResponse*) override;
  grpc::Status FetchGroups(Context*, const v1::FetchGroupsRequest*, v1::FetchGroupsResponse*) override;
  grpc::Status CloseBatch(Context*, const v1::CloseBatchRequest*, v1::CloseBatchResponse*) override;
  grpc::Status RecordEvent(Context*, const v1::RecordEventRequest*, v1::RecordEventResponse*) override;
  grpc::Status FinishJob(Context*, const v1::FinishJobRequest*, v1::FinishJobResponse*) override;

  grpc::Status Heartbeat(Context*, const v1::HeartbeatRequest*, v1::HeartbeatResponse*) override;
  grpc::Status LeaseGroups(Context*, const v1::LeaseGroupsRequest*, v1::LeaseGroupsResponse*) override;
  grpc::Status FetchAdapter(Context*, const v1::FetchAdapterRequest*,
                            grpc::ServerWriter<v1::FetchAdapterResponse>*) override;
  grpc::Status AcknowledgeAdapter(Context*, const v1::AcknowledgeAdapterRequest*,
                                  v1::AcknowledgeAdapterResponse*) override;
  grpc::Status CompleteGroup(Context*, const v1::CompleteGroupRequest*, v1::CompleteGroupResponse*) override;
  grpc::Status AbandonGroup(Context*, const v1::AbandonGroupRequest*, v1::AbandonGroupResponse*) override;

 private:
  CoordinatorCore& core_;
  CoordinatorMetrics& metrics_;
};

}  // namespace evilmoe
