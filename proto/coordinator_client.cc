#include "proto/coordinator_client.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "evilmoe/v1/coordinator.grpc.pb.h"
#include "proto/grpc_library.h"
#include "proto/grpc_status.h"
#include "proto/security/call_limits.h"
#include "proto/security/secure_channel_client.h"

namespace evilmoe {
namespace {

using Stub = v1::CoordinatorService::Stub;
constexpr size_t kChunkBytes = 1 << 20;
constexpr int kMaxMessageBytes = 256 << 20;
// Of a run's file, whose size is not known before it comes; a checkpoint of gigabytes over a slow line included.
constexpr std::chrono::milliseconds kFileTransfer = std::chrono::minutes(10);
constexpr std::chrono::milliseconds kFirstBackoff(20);
constexpr std::chrono::milliseconds kLastBackoff(1000);

template <typename Request>
concept Waits = requires(const Request& request) { request.wait_ms(); };

// How long the server itself may hold the call.
template <typename Request>
std::chrono::milliseconds HeldBy(const Request& request) {
  if constexpr (Waits<Request>) return std::chrono::milliseconds(std::max(0, request.wait_ms()));
  return std::chrono::milliseconds(0);
}

// What an adapter may take on its way and onto the disk: at least 10 MB a second.
std::chrono::milliseconds TransferTime(int64_t num_bytes) {
  return std::chrono::milliseconds(std::max<int64_t>(0, num_bytes) / 10'000);
}

// The same call may succeed a moment later.
bool IsLost(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || IsTooManyCalls(status);
}

}  // namespace

class CoordinatorClient::Impl {
 public:
  explicit Impl(CoordinatorClientOptions options) : options_(std::move(options)) {
    KeepGrpcLibrary();
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetMaxSendMessageSize(kMaxMessageBytes);
    // A restarted coordinator is found again within a second, not within gRPC's two minutes.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);  // what one attempt to connect may take, in fact
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
    absl::StatusOr<std::shared_ptr<grpc::Channel>> channel =
        OpenChannel(options_.address, options_.security, std::move(arguments));
    opened_ = channel.status();
    if (!opened_.ok()) return;
    channel_ = *std::move(channel);
    stub_ = v1::CoordinatorService::NewStub(channel_);
  }

  Stub& stub() { return *stub_; }
  bool stopped() const { return options_.stop.stop_requested(); }

  // Runs attempt(context) until it fails neither by the connection nor by too many calls, or the budget is spent; that
  // counts from the first failure, so that a long poll which a restart cuts off late has all of it.
  template <typename Attempt>
  absl::Status WithRetries(std::chrono::milliseconds held, Attempt attempt) {
    if (!opened_.ok()) return Annotate(opened_, absl::StrCat("coordinator ", options_.address));
    std::optional<std::chrono::steady_clock::time_point> give_up;
    for (std::chrono::milliseconds backoff = kFirstBackoff;; backoff = std::min(2 * backoff, kLastBackoff)) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + held + absl::ToChronoMilliseconds(options_.call_timeout));
      const absl::Status status = ExplainConnection(FromGrpcStatus(attempt(context)));
      if (!IsLost(status) || stopped()) return status;
      const auto now = std::chrono::steady_clock::now();
      if (!give_up) give_up = now + absl::ToChronoMilliseconds(options_.retry_budget);
      if (now + backoff >= *give_up) return Annotate(status, absl::StrCat("coordinator ", options_.address));
      Pause(backoff);
    }
  }

  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    Response response;
    const std::chrono::milliseconds held = HeldBy(request);
    EVILMOE_RETURN_IF_ERROR(WithRetries(held, [&](grpc::ClientContext& context) {
      const std::stop_callback cut_short(options_.stop, [&] {
        if (held > std::chrono::milliseconds(0)) context.TryCancel();
      });
      response.Clear();
      return ((*stub_).*method)(&context, request, &response);
    }));
    return response;
  }

 private:
  // gRPC makes a connection only while some thread polls for it (or after five seconds): no plain sleep without one.
  void Pause(std::chrono::milliseconds backoff) {
    if (channel_->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) {
      std::this_thread::sleep_for(backoff);
    } else {
      channel_->WaitForConnected(std::chrono::system_clock::now() + backoff);
    }
  }

  const CoordinatorClientOptions options_;
  absl::Status opened_;  // not OK: there is no channel
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
};

CoordinatorClient::CoordinatorClient(CoordinatorClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
CoordinatorClient::~CoordinatorClient() = default;

// One line an RPC that takes a message and gives a message.
#define EVILMOE_UNARY(Method, Request, Response)                                     \
  absl::StatusOr<v1::Response> CoordinatorClient::Method(const v1::Request& request) { \
    return impl_->Call<v1::Response>(&Stub::Method, request);                        \
  }
EVILMOE_UNARY(SubmitRun, SubmitRunRequest, SubmitRunResponse)
EVILMOE_UNARY(SubmitJob, SubmitJobRequest, SubmitJobResponse)
EVILMOE_UNARY(GetRun, GetRunRequest, Run)
EVILMOE_UNARY(ListRuns, ListRunsRequest, ListRunsResponse)
EVILMOE_UNARY(GetStatus, GetStatusRequest, GetStatusResponse)
EVILMOE_UNARY(ListRunFiles, ListRunFilesRequest, ListRunFilesResponse)
EVILMOE_UNARY(CancelRun, CancelRunRequest, Run)
EVILMOE_UNARY(PauseRun, PauseRunRequest, Run)
EVILMOE_UNARY(ResumeRun, ResumeRunRequest, Run)
EVILMOE_UNARY(RetryRun, RetryRunRequest, Run)
EVILMOE_UNARY(ListEvents, ListEventsRequest, ListEventsResponse)
EVILMOE_UNARY(AcquireJob, AcquireJobRequest, AcquireJobResponse)
EVILMOE_UNARY(HeartbeatJob, HeartbeatJobRequest, HeartbeatJobResponse)
EVILMOE_UNARY(ReleaseJob, ReleaseJobRequest, ReleaseJobResponse)
EVILMOE_UNARY(BeginJob, BeginJobRequest, BeginJobResponse)
EVILMOE_UNARY(OpenBatch, OpenBatchRequest, OpenBatchResponse)
EVILMOE_UNARY(FetchGroups, FetchGroupsRequest, FetchGroupsResponse)
EVILMOE_UNARY(CloseBatch, CloseBatchRequest, CloseBatchResponse)
EVILMOE_UNARY(RecordEvent, RecordEventRequest, RecordEventResponse)
EVILMOE_UNARY(FinishJob, FinishJobRequest, FinishJobResponse)
EVILMOE_UNARY(Heartbeat, HeartbeatRequest, HeartbeatResponse)
EVILMOE_UNARY(LeaseGroups, LeaseGroupsRequest, LeaseGroupsResponse)
EVILMOE_UNARY(AcknowledgeAdapter, AcknowledgeAdapterRequest, AcknowledgeAdapterResponse)
EVILMOE_UNARY(CompleteGroup, CompleteGroupRequest, CompleteGroupResponse)
EVILMOE_UNARY(AbandonGroup, AbandonGroupRequest, AbandonGroupResponse)
#undef EVILMOE_UNARY

absl::StatusOr<v1::PublishAdapterResponse> CoordinatorClient::PublishAdapter(const v1::JobFence& fence,
                                                                             const v1::AdapterVersion& version,
                                                                             const std::string& bytes) {
  v1::PublishAdapterResponse response;
  const std::chrono::milliseconds transfer = TransferTime(static_cast<int64_t>(bytes.size()));
  EVILMOE_RETURN_IF_ERROR(impl_->WithRetries(transfer, [&](grpc::ClientContext& context) {
    response.Clear();
    const auto writer = impl_->stub().PublishAdapter(&context, &response);
    for (size_t at = 0; at == 0 || at < bytes.size(); at += kChunkBytes) {
      v1::PublishAdapterRequest request;
      if (at == 0) {
        *request.mutable_fence() = fence;
        *request.mutable_version() = version;
      }
      request.set_chunk(bytes.substr(at, kChunkBytes));
      if (!writer->Write(request)) break;  // Finish() tells why
    }
    writer->WritesDone();
    return writer->Finish();
  }));
  return response;
}

absl::StatusOr<int64_t> CoordinatorClient::ReadRunFile(const v1::ReadRunFileRequest& request,
                                                       const std::function<absl::Status(std::string_view)>& sink) {
  v1::ReadRunFileRequest rest = request;
  absl::Status taken;
  const auto attempt = [&](grpc::ClientContext& context) {
    const auto reader = impl_->stub().ReadRunFile(&context, rest);
    v1::ReadRunFileResponse part;
    while (reader->Read(&part)) {
      rest.set_offset(rest.offset() + static_cast<int64_t>(part.chunk().size()));
      taken = sink(part.chunk());
      if (taken.ok()) continue;
      context.TryCancel();
      break;
    }
    const grpc::Status finished = reader->Finish();
    return taken.ok() ? finished : grpc::Status::OK;
  };
  while (true) {
    const int64_t begun_at = rest.offset();
    const absl::Status read = impl_->WithRetries(kFileTransfer, attempt);
    if (!taken.ok()) return taken;
    if (read.ok()) return rest.offset();
    if (!IsLost(read) || rest.offset() == begun_at || impl_->stopped()) return read;
  }
}

absl::Status CoordinatorClient::FetchAdapterFrom(const v1::AdapterVersion& version, int64_t offset,
                                                 const std::function<absl::Status(std::string_view)>& take) {
  v1::FetchAdapterRequest request;
  *request.mutable_version() = version;
  absl::Status taken;
  const auto attempt = [&](grpc::ClientContext& context) {
    // All came, and the connection broke before the end was said.
    if (version.size_bytes() > 0 && offset >= version.size_bytes()) return grpc::Status::OK;
    request.set_offset(offset);
    const auto reader = impl_->stub().FetchAdapter(&context, request);
    v1::FetchAdapterResponse part;
    while (taken.ok() && reader->Read(&part)) {
      taken = take(part.chunk());
      offset += static_cast<int64_t>(part.chunk().size());
    }
    if (!taken.ok()) context.TryCancel();
    return reader->Finish();
  };
  while (true) {
    const int64_t begun_at = offset;
    const absl::Status sent = impl_->WithRetries(TransferTime(version.size_bytes() - offset), attempt);
    if (!taken.ok()) return taken;  // no failure of the connection, whatever its code
    if (!IsLost(sent) || offset == begun_at || impl_->stopped()) return sent;
  }
}

absl::StatusOr<std::string> CoordinatorClient::FetchAdapter(const v1::AdapterVersion& version) {
  std::string bytes;
  EVILMOE_RETURN_IF_ERROR(FetchAdapterFrom(version, 0, [&bytes](std::string_view chunk) {
    bytes.append(chunk);
    return absl::OkStatus();
  }));
  const std::string sha256 = Sha256Hex(bytes);
  if (sha256 != version.sha256()) {
    return absl::DataLossError(
        absl::StrCat("adapter of step ", version.step(), ": got sha256 ", sha256, ", expected ", version.sha256()));
  }
  return bytes;
}

}  // namespace evilmoe
