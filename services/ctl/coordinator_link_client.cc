#include "services/ctl/coordinator_link_client.h"

#include <algorithm>
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
    case v1::RUN_STATE_PAUSING: return "pausing";
    case v1::RUN_STATE_PAUSED: return "paused";
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
  summary.config_sha256 = run.config_sha256();
  summary.priority = run.priority();
  summary.slots = run.slots();
  summary.sweep = run.sweep();
  summary.model_fingerprint = run.model_fingerprint();
  if (run.has_adapter()) {
    summary.adapter_step = run.adapter().step();
    summary.adapter_sha256 = run.adapter().sha256();
  }
  return summary;
}

absl::StatusOr<RunSummary> FromProto(const absl::StatusOr<v1::Run>& run) {
  if (!run.ok()) return run.status();
  return FromProto(*run);
}

WorkerInfo FromProto(const v1::WorkerStatus& worker) {
  return {worker.worker_id(), worker.kind(), worker.host(), worker.seen_unix_ms(), worker.leases(),
          worker.has_adapter() ? worker.adapter().step() : -1, worker.run_id()};
}

// All that decides how the coordinator is dialled: the one place where an endpoint becomes options of the client.
CoordinatorClientOptions OptionsOf(const Endpoint& endpoint) {
  CoordinatorClientOptions options;
  options.address = endpoint.address;
  options.call_timeout = endpoint.patience;
  options.retry_budget = std::min(kRetryBudget, endpoint.patience);
  options.security = {.ca = endpoint.ca,
                      .certificate = endpoint.certificate,
                      .key = endpoint.key,
                      .token = endpoint.token_file};
  return options;
}

class GrpcLink final : public CoordinatorLink {
 public:
  explicit GrpcLink(const Endpoint& endpoint) : client_(OptionsOf(endpoint)) {}

  absl::StatusOr<RunSummary> SubmitRun(const RunSummary& run, const std::string& config_yaml) override {
    v1::SubmitRunRequest request;
    request.set_run_id(run.run_id);
    request.set_name(run.name);
    request.set_arm(run.arm);
    request.set_config_yaml(config_yaml);
    request.set_steps_total(run.steps_total);
    request.set_directory(run.directory);
    request.set_priority(run.priority);
    request.set_slots(run.slots);
    request.set_sweep(run.sweep);
    EVILMOE_ASSIGN_OR_RETURN(const v1::SubmitRunResponse response, client_.SubmitRun(request));
    return FromProto(response.run());
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
    return FromProto(client_.GetRun(OfRun<v1::GetRunRequest>(run_id)));
  }
  absl::StatusOr<RunSummary> CancelRun(const std::string& run_id) override {
    return FromProto(client_.CancelRun(OfRun<v1::CancelRunRequest>(run_id)));
  }
  absl::StatusOr<RunSummary> PauseRun(const std::string& run_id) override {
    return FromProto(client_.PauseRun(OfRun<v1::PauseRunRequest>(run_id)));
  }
  absl::StatusOr<RunSummary> ResumeRun(const std::string& run_id) override {
    return FromProto(client_.ResumeRun(OfRun<v1::ResumeRunRequest>(run_id)));
  }
  absl::StatusOr<RunSummary> RetryRun(const std::string& run_id) override {
    return FromProto(client_.RetryRun(OfRun<v1::RetryRunRequest>(run_id)));
  }

  absl::StatusOr<std::vector<RunSummary>> ListRuns(const std::string& sweep) override {
    v1::ListRunsRequest request;
    request.set_sweep(sweep);
    EVILMOE_ASSIGN_OR_RETURN(const v1::ListRunsResponse response, client_.ListRuns(request));
    std::vector<RunSummary> runs;
    for (const v1::Run& run : response.runs()) runs.push_back(FromProto(run));
    return runs;
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

  absl::Status FailRun(const std::string& run_id, const std::string& trainer_name, const std::string& error) override {
    v1::AcquireJobRequest acquire;
    acquire.set_trainer_id(trainer_name + "/stack");
    acquire.set_trainer_name(trainer_name);
    acquire.set_wait_ms(kJobWaitMs);
    const absl::StatusOr<v1::AcquireJobResponse> job = client_.AcquireJob(acquire);
    // Another trainer holds the job: cancelling is the only way to end the run at once.
    if (!job.ok()) return CancelRun(run_id).status();
    v1::JobFence fence;
    fence.set_run_id(job->run().run_id());
    fence.set_job_id(job->job_id());
    fence.set_incarnation(job->incarnation());
    if (fence.run_id() != run_id) {  // a job that waited for anybody
      v1::ReleaseJobRequest release;
      *release.mutable_fence() = fence;
      EVILMOE_RETURN_IF_ERROR(client_.ReleaseJob(release).status());
      return CancelRun(run_id).status();
    }
    v1::FinishJobRequest finish;
    *finish.mutable_fence() = fence;
    finish.set_ok(false);
    finish.set_error(error);
    return client_.FinishJob(finish).status();
  }

  absl::StatusOr<CoordinatorInfo> GetStatus() override {
    EVILMOE_ASSIGN_OR_RETURN(const v1::GetStatusResponse status, client_.GetStatus({}));
    CoordinatorInfo info;
    info.version = status.version();
    info.store = status.store();
    for (const v1::WorkerStatus& worker : status.workers()) info.workers.push_back(FromProto(worker));
    info.groups_waiting = status.groups_waiting();
    info.groups_leased = status.groups_leased();
    info.slots_used = status.slots_used();
    info.slots_total = status.slots_total();
    return info;
  }

  absl::StatusOr<std::vector<RunFileEntry>> ListRunFiles(const std::string& run_id,
                                                         const std::string& folder) override {
    v1::ListRunFilesRequest request = OfRun<v1::ListRunFilesRequest>(run_id);
    request.set_folder(folder);
    EVILMOE_ASSIGN_OR_RETURN(const v1::ListRunFilesResponse response, client_.ListRunFiles(request));
    std::vector<RunFileEntry> entries;
    for (const v1::RunFile& file : response.files()) {
      entries.push_back({file.path(), file.size_bytes(), file.modified_unix_ns()});
    }
    return entries;
  }

  absl::StatusOr<int64_t> ReadRunFile(const std::string& run_id, const std::string& path, int64_t offset,
                                      const RunFiles::Sink& sink) override {
    v1::ReadRunFileRequest request = OfRun<v1::ReadRunFileRequest>(run_id);
    request.set_path(path);
    request.set_offset(offset);
    return client_.ReadRunFile(request, sink);
  }

 private:
  template <typename Request>
  static Request OfRun(const std::string& run_id) {
    Request request;
    request.set_run_id(run_id);
    return request;
  }

  CoordinatorClient client_;
};

}  // namespace

std::unique_ptr<CoordinatorLink> ConnectCoordinator(const Endpoint& endpoint) {
  return std::make_unique<GrpcLink>(endpoint);
}

}  // namespace evilmoe
