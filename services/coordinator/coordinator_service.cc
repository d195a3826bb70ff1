#include "services/coordinator/coordinator_service.h"

#include <chrono>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "proto/grpc_status.h"
#include "services/coordinator/coordinator_translation.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxAdapterBytes = size_t{2} << 30;
constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr int kMaxLeaseGroups = 1024;

// Runs a handler's body and measures it.
template <typename Body>
grpc::Status Answer(CoordinatorMetrics& metrics, const char* method, Body body) {
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = body();
  metrics.RpcSeconds(method).Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return ToGrpcStatus(status);
}

WaitOptions WaitOf(grpc::ServerContext* context, int32_t wait_ms) {
  return {.wait = absl::Milliseconds(wait_ms), .gone = [context] { return context->IsCancelled(); }};
}

absl::Status AddChunk(const std::string& chunk, std::string& bytes) {
  if (chunk.size() > kChunkBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk: got ", chunk.size(), " bytes, expected at most ", kChunkBytes));
  }
  if (bytes.size() + chunk.size() > kMaxAdapterBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("adapter: more than ", kMaxAdapterBytes, " bytes, expected at most that many"));
  }
  bytes += chunk;
  return absl::OkStatus();
}

// The bytes of a stream whose first message was read.
absl::StatusOr<std::string> ReadChunks(grpc::ServerReader<v1::PublishAdapterRequest>& reader,
                                       const v1::PublishAdapterRequest& first) {
  std::string bytes;
  EVILMOE_RETURN_IF_ERROR(AddChunk(first.chunk(), bytes));
  v1::PublishAdapterRequest next;
  while (reader.Read(&next)) EVILMOE_RETURN_IF_ERROR(AddChunk(next.chunk(), bytes));
  return bytes;
}

}  // namespace

grpc::Status CoordinatorServiceImpl::SubmitRun(Context*, const v1::SubmitRunRequest* request,
                                               v1::SubmitRunResponse* response) {
  return Answer(metrics_, "SubmitRun", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FromProto(*request));
    EVILMOE_ASSIGN_OR_RETURN(run, core_.SubmitRun(std::move(run)));
    *response->mutable_run() = ToProto(run);
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::SubmitJob(Context*, const v1::SubmitJobRequest* request, v1::SubmitJobResponse*) {
  return Answer(metrics_, "SubmitJob", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(JobRecord job, FromProto(*request));
    return core_.SubmitJob(std::move(job));
  });
}

grpc::Status CoordinatorServiceImpl::GetRun(Context*, const v1::GetRunRequest* request, v1::Run* response) {
  return Answer(metrics_, "GetRun", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, core_.GetRun(request->run_id()));
    *response = ToProto(run);
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::ListRuns(Context*, const v1::ListRunsRequest*, v1::ListRunsResponse* response) {
  return Answer(metrics_, "ListRuns", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<RunRecord> runs, core_.ListRuns());
    for (const RunRecord& run : runs) *response->add_runs() = ToProto(run);
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::CancelRun(Context*, const v1::CancelRunRequest* request, v1::Run* response) {
  return Answer(metrics_, "CancelRun", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, core_.CancelRun(request->run_id()));
    *response = ToProto(run);
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::ListEvents(Context* context, const v1::ListEventsRequest* request,
                                                v1::ListEventsResponse* response) {
  return Answer(metrics_, "ListEvents", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const CoordinatorCore::EventPage page,
                             core_.ListEvents(request->run_id(), request->after_seq(), request->limit(),
                                              WaitOf(context, request->wait_ms())));
    for (const EventRecord& event : page.events) *response->add_events() = ToProto(event);
    *response->mutable_run() = ToProto(page.run);
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::AcquireJob(Context* context, const v1::AcquireJobRequest* request,
                                                v1::AcquireJobResponse* response) {
  return Answer(metrics_, "AcquireJob", [&]() -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("trainer_id", request->trainer_id()));
    EVILMOE_ASSIGN_OR_RETURN(const CoordinatorCore::AcquiredJob job,
                             core_.AcquireJob(request->trainer_id(), WaitOf(context, request->wait_ms())));
    *response = ToProto(job);
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::BeginJob(Context*, const v1::BeginJobRequest* request, v1::BeginJobResponse*) {
  return Answer(metrics_, "BeginJob", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    return core_.BeginJob(fence, request->resume_step());
  });
}

grpc::Status CoordinatorServiceImpl::PublishAdapter(Context*, grpc::ServerReader<v1::PublishAdapterRequest>* reader,
                                                    v1::PublishAdapterResponse* response) {
  return Answer(metrics_, "PublishAdapter", [&]() -> absl::Status {
    v1::PublishAdapterRequest first;
    if (!reader->Read(&first)) return absl::InvalidArgumentError("stream: empty, expected a fence, a version and bytes");
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(first.fence()));
    EVILMOE_ASSIGN_OR_RETURN(AdapterName adapter, FromProto(first.version()));
    if (adapter.run_id != fence.run_id) {
      return absl::InvalidArgumentError(
          absl::StrCat("version.run_id: got ", adapter.run_id, ", expected the fence's ", fence.run_id));
    }
    EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadChunks(*reader, first));
    EVILMOE_ASSIGN_OR_RETURN(const int num_holding, core_.PublishAdapter(fence, std::move(adapter), bytes));
    response->set_workers_holding(num_holding);
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::OpenBatch(Context*, const v1::OpenBatchRequest* request, v1::OpenBatchResponse*) {
  return Answer(metrics_, "OpenBatch", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(OpenBatchCall call, FromProto(*request));
    return core_.OpenBatch(call.fence, std::move(call.batch), call.groups);
  });
}

grpc::Status CoordinatorServiceImpl::FetchGroups(Context* context, const v1::FetchGroupsRequest* request,
                                                 v1::FetchGroupsResponse* response) {
  return Answer(metrics_, "FetchGroups", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    EVILMOE_ASSIGN_OR_RETURN(const CoordinatorCore::Fetched fetched,
                             core_.FetchGroups(fence, request->batch_key(),
                                               {request->have().begin(), request->have().end()},
                                               WaitOf(context, request->wait_ms())));
    EVILMOE_ASSIGN_OR_RETURN(*response, ToProto(fetched));
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::CloseBatch(Context*, const v1::CloseBatchRequest* request,
                                                v1::CloseBatchResponse*) {
  return Answer(metrics_, "CloseBatch", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    return core_.CloseBatch(fence, request->batch_key());
  });
}

grpc::Status CoordinatorServiceImpl::RecordEvent(Context*, const v1::RecordEventRequest* request,
                                                 v1::RecordEventResponse*) {
  return Answer(metrics_, "RecordEvent", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(RecordEventCall call, FromProto(*request));
    return core_.RecordEvent(call.fence, call.key, std::move(call.event), call.steps_done);
  });
}

grpc::Status CoordinatorServiceImpl::FinishJob(Context*, const v1::FinishJobRequest* request, v1::FinishJobResponse*) {
  return Answer(metrics_, "FinishJob", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const JobFenceKey fence, FromProto(request->fence()));
    return core_.FinishJob(fence, request->ok(), request->error());
  });
}

grpc::Status CoordinatorServiceImpl::Heartbeat(Context*, const v1::HeartbeatRequest* request,
                                               v1::HeartbeatResponse* response) {
  return Answer(metrics_, "Heartbeat", [&]() -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    EVILMOE_ASSIGN_OR_RETURN(
        const std::vector<int64_t> lost,
        core_.Heartbeat(request->worker_id(), {request->lease_ids().begin(), request->lease_ids().end()}));
    response->mutable_lost_lease_ids()->Assign(lost.begin(), lost.end());
    response->set_lease_timeout_ms(static_cast<int32_t>(absl::ToInt64Milliseconds(core_.lease_timeout())));
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::LeaseGroups(Context* context, const v1::LeaseGroupsRequest* request,
                                                 v1::LeaseGroupsResponse* response) {
  return Answer(metrics_, "LeaseGroups", [&]() -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    if (request->max_groups() < 1 || request->max_groups() > kMaxLeaseGroups) {
      return absl::InvalidArgumentError(
          absl::StrCat("max_groups: got ", request->max_groups(), ", expected [1, ", kMaxLeaseGroups, "]"));
    }
    EVILMOE_ASSIGN_OR_RETURN(
        const CoordinatorCore::Granted granted,
        core_.LeaseGroups(request->worker_id(), request->max_groups(), WaitOf(context, request->wait_ms())));
    EVILMOE_ASSIGN_OR_RETURN(*response, ToProto(granted));
    return absl::OkStatus();
  });
}

grpc::Status CoordinatorServiceImpl::FetchAdapter(Context*, const v1::FetchAdapterRequest* request,
                                                  grpc::ServerWriter<v1::FetchAdapterResponse>* writer) {
  return Answer(metrics_, "FetchAdapter", [&]() -> absl::Status {
    EVILMOE_ASSIGN_OR_RETURN(const AdapterName adapter, FromProto(request->version()));
    EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path path, core_.AdapterFile(adapter));
    std::ifstream file(path, std::ios::binary);
    v1::FetchAdapterResponse part;
    std::string& chunk = *part.mutable_chunk();
    while (file) {
      chunk.resize(kChunkBytes);
      file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
      chunk.resize(static_cast<size_t>(file.gcount()));
      if (chunk.empty()) break;
      if (!writer->Write(part)) return absl::CancelledError("the caller has hung up");
    }
    return file.eof() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat(path.string(), ": cannot be read"));
  });
}

grpc::Status CoordinatorServiceImpl::AcknowledgeAdapter(Context*, const v1::AcknowledgeAdapterRequest* request,
                                                        v1::AcknowledgeAdapterResponse*) {
  return Answer(metrics_, "AcknowledgeAdapter", [&]() -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    EVILMOE_ASSIGN_OR_RETURN(const AdapterName adapter, FromProto(request->version()));
    return core_.AcknowledgeAdapter(request->worker_id(), adapter);
  });
}

grpc::Status CoordinatorServiceImpl::CompleteGroup(Context*, const v1::CompleteGroupRequest* request,
                                                   v1::CompleteGroupResponse*) {
  return Answer(metrics_, "CompleteGroup", [&]() -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    EVILMOE_ASSIGN_OR_RETURN(const CompletedGroup group, FromProto(request->result()));
    return core_.CompleteGroup(request->worker_id(), request->lease_id(), group);
  });
}

grpc::Status CoordinatorServiceImpl::AbandonGroup(Context*, const v1::AbandonGroupRequest* request,
                                                  v1::AbandonGroupResponse*) {
  return Answer(metrics_, "AbandonGroup", [&]() -> absl::Status {
    EVILMOE_RETURN_IF_ERROR(CheckId("worker_id", request->worker_id()));
    EVILMOE_RETURN_IF_ERROR(CheckFailure(request->reason()));
    return core_.AbandonGroup(request->worker_id(), request->lease_id(), request->reason());
  });
}

}  // namespace evilmoe
