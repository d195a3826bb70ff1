#include "services/ctl/coordinator_link_client.h"

#include <utility>

#include "common/status_macros.h"
#include "proto/coordinator_client.h"

namespace evilmoe {
namespace {

// Short: a person waits, and the stack has children to look after. Follow() and the stack try again by themselves.
constexpr absl::Duration kRetryBudget = absl::Seconds(2);
constexpr int kJobWaitMs = 5000;
constexpr int kPageSize = 1000;

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
  explicit GrpcLink(const std::string& address) : client_({address, absl::Seconds(10), kRetryBudget}) {}

  absl::Status SubmitRun(const RunSummary& run, const std::string& config_yaml) override {
    v1::SubmitRunRequest request;
    request.set_run_id(run.run_id);
    request.set_name(run.name);
    request.set_arm(run.arm);
    request.set_config_yaml(config_yaml);
    request.set_steps_total(run.steps_total);
    request.set_directory(run.directory);
    return client_.SubmitRun(request).status();
  }

  absl::Status SubmitAblation(const std::string& run_id, const std::string& job_id,
                              const std::string& params_json) override {
    v1::SubmitJobRequest request;
    request.set_run_id(run_id);
    request.set_job_id(job_id);
    request.set_kind(v1::JOB_KIND_ABLATE);
    request.set_params_json(params_json);
    return client_.SubmitJob(request).status();
  }

  absl::StatusOr<RunSummary> GetRun(const std::string& run_id) override {
    v1::GetRunRequest request;
    request.set_run_id(run_id);
    EVILMOE_ASSIGN_OR_RETURN(const v1::Run run, client_.GetRun(request));
    return FromProto(run);
  }

  absl::StatusOr<std::vector<RunSummary>> ListRuns() override {
    EVILMOE_ASSIGN_OR_RETURN(const v1::ListRunsResponse response, client_.ListRuns({}));
    std::vector<RunSummary> runs;
    for (const v1::Run& run : response.runs()) runs.push_back(FromProto(run));
    return runs;
  }

  absl::StatusOr<RunSummary> CancelRun(const std::string& run_id) override {
    v1::CancelRunRequest request;
    request.set_run_id(run_id);
    EVILMOE_ASSIGN_OR_RETURN(const v1::Run run, client_.CancelRun(request));
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
      EVILMOE_ASSIGN_OR_RETURN(response, client_.ListEvents(request));
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
    const absl::StatusOr<v1::AcquireJobResponse> job = client_.AcquireJob(acquire);
    // The dead trainer still holds the job: cancelling is the only way to end the run at once.
    if (!job.ok()) return CancelRun(run_id).status();
    v1::FinishJobRequest finish;
    finish.mutable_fence()->set_run_id(run_id);
    finish.mutable_fence()->set_job_id(job->job_id());
    finish.mutable_fence()->set_incarnation(job->incarnation());
    finish.set_ok(false);
    finish.set_error(error);
    return client_.FinishJob(finish).status();
  }

 private:
  CoordinatorClient client_;
};

}  // namespace

std::unique_ptr<CoordinatorLink> ConnectCoordinator(const std::string& address) {
  return std::make_unique<GrpcLink>(address);
}

}  // namespace evilmoe
