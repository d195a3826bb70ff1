#include "services/coordinator/coordinator_service.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/grpc_status.h"
#include "proto/security/call_guard_service.h"
#include "services/coordinator/coordinator_translation.h"

namespace evilmoe {
namespace {

constexpr int kMaxLeaseGroups = 1024;

WaitOptions WaitOf(grpc::CallbackServerContext* context, int32_t wait_ms) {
  return {.wait = absl::Milliseconds(wait_ms), .gone = [context] { return context->IsCancelled(); }};
}

// A reply that puts what it gets into the response with `put`, and ends the call.
template <typename T, typename Put>
Reply<T> Into(const std::function<void(const absl::Status&)>& finish, Put put) {
  return [finish, put](absl::StatusOr<T> result) {
    if (!result.ok()) return finish(result.status());
    finish(put(*std::move(result)));
  };
}

Reply<RunRecord> IntoRun(const std::function<void(const absl::Status&)>& finish, v1::Run* response) {
  return Into<RunRecord>(finish, [response](const RunRecord& run) {
    *response = ToProto(run);
    return absl::OkStatus();
  });
}

}  // namespace

CoordinatorServiceImpl::CoordinatorServiceImpl(CoordinatorCore& core, CoordinatorMetrics& metrics, CoordinatorChecks checks)
    : core_(core), checks_(std::move(checks)) {
  const google::protobuf::ServiceDescriptor* service = v1::Run::descriptor()->file()->service(0);
  for (int i = 0; i < service->method_count(); ++i) {
    seconds_[service->method(i)->name()] = &metrics.RpcSeconds(service->method(i)->name());
  }
}

absl::StatusOr<CallPermit> CoordinatorServiceImpl::Permit(const grpc::ServerContextBase& context,
                                                          const char* method) const {
  return checks_.guard == nullptr ? CallPermit() : Admit(*checks_.guard, context, method);
}

template <typename Body>
grpc::ServerUnaryReactor* CoordinatorServiceImpl::Serve(Context* context, const char* method, Body body) {
  Reactor* const reactor = context->DefaultReactor();
  absl::StatusOr<CallPermit> permit = Permit(*context, method);
  if (!permit.ok()) {
    reactor->Finish(ToGrpcStatus(permit.status()));
    return reactor;
  }
  const Finish finish = [reactor, permit = std::make_shared<CallPermit>(*std::move(permit)),
                         seconds = seconds_.find(method)->second,
                         start = std::chrono::steady_clock::now()](const absl::Status& status) {
    seconds->Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    *permit = CallPermit();  // copies of this function may live on
    reactor->Finish(ToGrpcStatus(status));
  };
  if (const absl::Status begun = body(finish); !begun.ok()) finish(begun);
  return reactor;
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::SubmitRun(Context* context, const v1::SubmitRunRequest* request,
                                                            v1::SubmitRunResponse* response) {
  return Serve(context, "SubmitRun", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FromProto(*request));
    if (checks_.run) EVILMOE_RETURN_IF_ERROR(checks_.run(run));
    core_.SubmitRun(std::move(run), IntoRun(finish, response->mutable_run()));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::SubmitJob(Context* context, const v1::SubmitJobRequest* request,
                                                            v1::SubmitJobResponse*) {
  return Serve(context, "SubmitJob", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(JobRecord job, FromProto(*request));
    if (checks_.job) EVILMOE_RETURN_IF_ERROR(checks_.job(job));
    core_.SubmitJob(std::move(job), finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::GetRun(Context* context, const v1::GetRunRequest* request,
                                                         v1::Run* response) {
  return Serve(context, "GetRun", [&](const Finish& finish) -> absl::Status {
    core_.GetRun(request->run_id(), IntoRun(finish, response));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::ListRuns(Context* context, const v1::ListRunsRequest* request,
                                                           v1::ListRunsResponse* response) {
  return Serve(context, "ListRuns", [&](const Finish& finish) -> absl::Status {
    core_.ListRuns(request->sweep(),
                   Into<std::vector<RunRecord>>(finish, [response](const std::vector<RunRecord>& runs) {
                     for (const RunRecord& run : runs) *response->add_runs() = ToProto(run);
                     return absl::OkStatus();
                   }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::ListEvents(Context* context, const v1::ListEventsRequest* request,
                                                             v1::ListEventsResponse* response) {
  return Serve(context, "ListEvents", [&](const Finish& finish) -> absl::Status {
    core_.ListEvents(request->run_id(), request->after_seq(), request->limit(), WaitOf(context, request->wait_ms()),
                     Into<CoordinatorCore::EventPage>(finish, [response](const CoordinatorCore::EventPage& page) {
                       for (const EventRecord& event : page.events) *response->add_events() = ToProto(event);
                       *response->mutable_run() = ToProto(page.run);
                       return absl::OkStatus();
                     }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::GetStatus(Context* context, const v1::GetStatusRequest*,
                                                            v1::GetStatusResponse* response) {
  return Serve(context, "GetStatus", [&](const Finish& finish) -> absl::Status {
    core_.GetStatus(Into<CoordinatorStatus>(finish, [this, response](const CoordinatorStatus& status) {
      *response = ToProto(status);
      response->set_version(EVILMOE_VERSION);
      response->set_store(core_.store().Description());
      return absl::OkStatus();
    }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::CancelRun(Context* context, const v1::CancelRunRequest* request,
                                                            v1::Run* response) {
  return Serve(context, "CancelRun", [&](const Finish& finish) -> absl::Status {
    core_.CancelRun(request->run_id(), IntoRun(finish, response));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::PauseRun(Context* context, const v1::PauseRunRequest* request,
                                                           v1::Run* response) {
  return Serve(context, "PauseRun", [&](const Finish& finish) -> absl::Status {
    core_.PauseRun(request->run_id(), IntoRun(finish, response));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::ResumeRun(Context* context, const v1::ResumeRunRequest* request,
                                                            v1::Run* response) {
  return Serve(context, "ResumeRun", [&](const Finish& finish) -> absl::Status {
    core_.ResumeRun(request->run_id(), IntoRun(finish, response));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::RetryRun(Context* context, const v1::RetryRunRequest* request,
                                                           v1::Run* response) {
  return Serve(context, "RetryRun", [&](const Finish& finish) -> absl::Status {
    core_.RetryRun(request->run_id(), IntoRun(finish, response));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::AcquireJob(Context* context, const v1::AcquireJobRequest* request,
                                                             v1::AcquireJobResponse* response) {
  return Serve(context, "AcquireJob", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const TrainerOffer offer, FromProto(*request));
    const auto timeout_ms = static_cast<int32_t>(absl::ToInt64Milliseconds(core_.options().trainer_timeout));
    core_.AcquireJob(offer, WaitOf(context, request->wait_ms()),
                     Into<AcquiredJob>(finish, [response, timeout_ms](const AcquiredJob& job) {
                       *response = ToProto(job);
                       response->set_trainer_timeout_ms(timeout_ms);
                       return absl::OkStatus();
                     }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::HeartbeatJob(Context* context, const v1::HeartbeatJobRequest* request,
                                                               v1::HeartbeatJobResponse* response) {
  return Serve(context, "HeartbeatJob", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    core_.HeartbeatJob(fence, Into<bool>(finish, [response](bool pause) {
                         response->set_pause(pause);
                         return absl::OkStatus();
                       }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::ReleaseJob(Context* context, const v1::ReleaseJobRequest* request,
                                                             v1::ReleaseJobResponse*) {
  return Serve(context, "ReleaseJob", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    core_.ReleaseJob(fence, finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::BeginJob(Context* context, const v1::BeginJobRequest* request,
                                                           v1::BeginJobResponse*) {
  return Serve(context, "BeginJob", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const BeginJobCall call, FromProto(*request));
    core_.BeginJob(call.fence, call.resume_step, call.model_fingerprint, finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::OpenBatch(Context* context, const v1::OpenBatchRequest* request,
                                                            v1::OpenBatchResponse*) {
  return Serve(context, "OpenBatch", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(OpenBatchCall call, FromProto(*request));
    core_.OpenBatch(call.fence, std::move(call.batch), std::move(call.groups), finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::FetchGroups(Context* context, const v1::FetchGroupsRequest* request,
                                                              v1::FetchGroupsResponse* response) {
  return Serve(context, "FetchGroups", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    core_.FetchGroups(fence, request->batch_key(), request->after(), WaitOf(context, request->wait_ms()),
                      Into<FetchedGroups>(finish, [response](const FetchedGroups& fetched) -> absl::Status {
                        EVILMOE_ASSIGN_OR_RETURN(*response, ToProto(fetched));
                        return absl::OkStatus();
                      }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::CloseBatch(Context* context, const v1::CloseBatchRequest* request,
                                                             v1::CloseBatchResponse*) {
  return Serve(context, "CloseBatch", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    core_.CloseBatch(fence, request->batch_key(), finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::RecordEvent(Context* context, const v1::RecordEventRequest* request,
                                                              v1::RecordEventResponse* response) {
  return Serve(context, "RecordEvent", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(RecordEventCall call, FromProto(*request));
    core_.RecordEvent(call.fence, call.key, std::move(call.event), call.steps_done,
                      Into<bool>(finish, [response](bool pause) {
                        response->set_pause(pause);
                        return absl::OkStatus();
                      }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::FinishJob(Context* context, const v1::FinishJobRequest* request,
                                                            v1::FinishJobResponse*) {
  return Serve(context, "FinishJob", [&](const Finish& finish) -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    EVILMOE_RETURN_IF_ERROR(CheckError(request->error()));
    core_.FinishJob(fence, request->ok(), request->error(), finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::Heartbeat(Context* context, const v1::HeartbeatRequest* request,
                                                            v1::HeartbeatResponse* response) {
  return Serve(context, "Heartbeat", [&](const Finish& finish) -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    if (!request->host().empty()) EVILMOE_RETURN_IF_ERROR(CheckId("host", request->host()));
    const auto timeout_ms = static_cast<int32_t>(absl::ToInt64Milliseconds(core_.options().lease_timeout));
    core_.Heartbeat(request->worker_id(), request->host(), {request->lease_ids().begin(), request->lease_ids().end()},
                    Into<std::vector<int64_t>>(finish, [response, timeout_ms](const std::vector<int64_t>& lost) {
                      response->mutable_lost_lease_ids()->Assign(lost.begin(), lost.end());
                      response->set_lease_timeout_ms(timeout_ms);
                      return absl::OkStatus();
                    }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::LeaseGroups(Context* context, const v1::LeaseGroupsRequest* request,
                                                              v1::LeaseGroupsResponse* response) {
  return Serve(context, "LeaseGroups", [&](const Finish& finish) -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    if (request->max_groups() < 1 || request->max_groups() > kMaxLeaseGroups) {
      return absl::InvalidArgumentError(
          absl::StrCat("max_groups: got ", request->max_groups(), ", expected [1, ", kMaxLeaseGroups, "]"));
    }
    core_.LeaseGroups(request->worker_id(), request->max_groups(), WaitOf(context, request->wait_ms()),
                      Into<Granted>(finish, [response](const Granted& granted) -> absl::Status {
                        EVILMOE_ASSIGN_OR_RETURN(*response, ToProto(granted));
                        return absl::OkStatus();
                      }));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::AcknowledgeAdapter(Context* context,
                                                                     const v1::AcknowledgeAdapterRequest* request,
                                                                     v1::AcknowledgeAdapterResponse*) {
  return Serve(context, "AcknowledgeAdapter", [&](const Finish& finish) -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    EVILMOE_ASSIGN_OR_RETURN(const AdapterName adapter, FromProto(request->version()));
    core_.AcknowledgeAdapter(request->worker_id(), adapter, finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::CompleteGroup(Context* context,
                                                                const v1::CompleteGroupRequest* request,
                                                                v1::CompleteGroupResponse*) {
  return Serve(context, "CompleteGroup", [&](const Finish& finish) -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    EVILMOE_ASSIGN_OR_RETURN(CompletedGroup group, FromProto(request->result()));
    core_.CompleteGroup(request->worker_id(), request->lease_id(), std::move(group), finish);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CoordinatorServiceImpl::AbandonGroup(Context* context, const v1::AbandonGroupRequest* request,
                                                               v1::AbandonGroupResponse*) {
  return Serve(context, "AbandonGroup", [&](const Finish& finish) -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    EVILMOE_RETURN_IF_ERROR(CheckFailure(request->reason()));
    EVILMOE_RETURN_IF_ERROR(CheckDetail(request->detail()));
    core_.AbandonGroup(request->worker_id(), request->lease_id(), request->reason(), request->detail(), finish);
    return absl::OkStatus();
  });
}

}  // namespace evilmoe
