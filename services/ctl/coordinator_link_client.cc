#include "services/ctl/coordinator_link_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "evilmoe/v1/coordinator.grpc.pb.h"

namespace evilmoe {
namespace {

constexpr std::chrono::seconds kDeadline(10);
constexpr int kJobWaitMs = 5000;
constexpr int kPageSize = 1000;

// The codes of gRPC and of Abseil are the same numbers.
absl::Status ToAbslStatus(const grpc::Status& status, const std::string& address) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  if (code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kDeadlineExceeded) {
    return absl::Status(code, absl::StrCat("coordinator ", address, ": not reachable: ", status.error_message()));
  }
  return absl::Status(code, status.error_message());
}

std::string StateName(v1::RunState state) {
  switch (state) {
    case v1::RUN_STATE_QUEUED: return "queued";
    case v1::RUN_STATE_RUNNING: return "running";
    case v1::RUN_STATE_SUCCEEDED: return "succeeded";
    case v1::RUN_STATE_FAILED: return "failed";
    case v1::RUN_STATE_CANCELLED: return "cancelled";
    default: return "unknown";
  }
}

RunSummary FromProto(const v1::Run& run) {
  RunSummary summary;
  summary.run_id = run.run_id();
  summary.name = run.name();
  summary.arm = run.arm();
  summary.state = StateName(run.state());
  summary.error = run.error();
  summary.steps_total = run.steps_total();
  summary.steps_done = run.steps_done();
  summary.created_unix_ms = run.created_unix_ms();
  summary.finished_unix_ms = run.finished_unix_ms();
  summary.directory = run.directory();
  return summary;
}

class GrpcLink final : public CoordinatorLink {
 public:
  explicit GrpcLink(const std::string& address)
      : address_(address),
        stub_(v1::CoordinatorService::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {}

  absl::Status SubmitRun(const RunSummary& run, const std::string& config_yaml) override {
    v1::SubmitRunRequest request;
    request.set_run_id(run.run_id);
    request.set_name(run.name);
    request.set_arm(run.arm);
    request.set_config_yaml(config_yaml);
    request.set_steps_total(run.steps_total);
    request.set_directory(run.directory);
    v1::SubmitRunResponse response;
    return Call(&Stub::SubmitRun, request, &response);
  }

  absl::Status SubmitAblation(const std::string& run_id, const std::string& job_id,
                              const std::string& params_json) override {
    v1::SubmitJobRequest request;
    request.set_run_id(run_id);
    request.set_job_id(job_id);
    request.set_kind(v1::JOB_KIND_ABLATE);
    request.set_params_json(params_json);
    v1::SubmitJobResponse response;
    return Call(&Stub::SubmitJob, request, &response);
  }

  absl::StatusOr<RunSummary> GetRun(const std::string& run_id) override {
    v1::GetRunRequest request;
    request.set_run_id(run_id);
    v1::Run run;
    if (absl::Status status = Call(&Stub::GetRun, request, &run); !status.ok()) return status;
    return FromProto(run);
  }

  absl::StatusOr<std::vector<RunSummary>> ListRuns() override {
    v1::ListRunsResponse response;
    if (absl::Status status = Call(&Stub::ListRuns, v1::ListRunsRequest(), &response); !status.ok()) return status;
    std::vector<RunSummary> runs;
    for (const v1::Run& run : response.runs()) runs.push_back(FromProto(run));
    return runs;
  }

  absl::StatusOr<RunSummary> CancelRun(const std::string& run_id) override {
    v1::CancelRunRequest request;
    request.set_run_id(run_id);
    v1::Run run;
    if (absl::Status status = Call(&Stub::CancelRun, request, &run); !status.ok()) return status;
    return FromProto(run);
  }

  absl::StatusOr<FeedPage> ListEvents(const std::string& run_id, int64_t after_seq) override {
    v1::ListEventsRequest request;
    request.set_run_id(run_id);
    request.set_after_seq(after_seq);
    request.set_limit(kPageSize);
    FeedPage page;
    v1::ListEventsResponse response;
    do {
      if (absl::Status status = Call(&Stub::ListEvents, request, &response); !status.ok()) return status;
      for (const v1::RunEvent& event : response.events()) {
        nlohmann::json payload = nlohmann::json::parse(event.payload_json(), nullptr, false);
        if (payload.is_discarded()) payload = nullptr;
        page.events.push_back({event.seq(), event.unix_ms(), event.kind(), std::move(payload)});
        request.set_after_seq(event.seq());
      }
    } while (response.events_size() == kPageSize);
    page.run = FromProto(response.run());
    page.run.last_seq = request.after_seq();
    return page;
  }

  absl::Status FailRun(const std::string& run_id, const std::string& error) override {
    v1::AcquireJobRequest acquire;
    acquire.set_trainer_id("stack");
    acquire.set_wait_ms(kJobWaitMs);
    v1::AcquireJobResponse job;
    if (absl::Status status = Call(&Stub::AcquireJob, acquire, &job); !status.ok()) {
      // The dead trainer still holds the job: cancelling is the only way to end the run at once.
      return CancelRun(run_id).status();
    }
    v1::FinishJobRequest finish;
    finish.mutable_fence()->set_run_id(run_id);
    finish.mutable_fence()->set_job_id(job.job_id());
    finish.mutable_fence()->set_incarnation(job.incarnation());
    finish.set_ok(false);
    finish.set_error(error);
    v1::FinishJobResponse response;
    return Call(&Stub::FinishJob, finish, &response);
  }

 private:
  using Stub = v1::CoordinatorService::Stub;

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kDeadline);
    return ToAbslStatus((stub_.get()->*method)(&context, request, response), address_);
  }

  const std::string address_;
  const std::unique_ptr<v1::CoordinatorService::Stub> stub_;
};

}  // namespace

std::unique_ptr<CoordinatorLink> ConnectCoordinator(const std::string& address) {
  return std::make_unique<GrpcLink>(address);
}

}  // namespace evilmoe
