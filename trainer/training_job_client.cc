#include "trainer/training_job_client.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "trainer/checkpoint.h"
#include "trainer/coordinator_rollouts_client.h"
#include "trainer/job_control.h"
#include "trainer/job_heartbeat.h"
#include "trainer/rank_leader.h"
#include "trainer/training_loop.h"

namespace evilmoe {
namespace {

constexpr int kJobWaitMs = 5000;

// Tells the coordinator and the metrics alike.
class JobProgress final : public ProgressSink {
 public:
  JobProgress(ProgressSink& coordinator, TrainerMetrics& metrics) : coordinator_(coordinator), metrics_(metrics) {}
  absl::Status Record(const std::string& key, const std::string& kind, const nlohmann::ordered_json& payload,
                      int64_t steps_done) override {
    metrics_.Observe(kind, payload);
    return coordinator_.Record(key, kind, payload, steps_done);
  }
  void Saved(int64_t) override { metrics_.CountEvent("checkpoint"); }
  absl::Status Held() const override { return coordinator_.Held(); }

 private:
  ProgressSink& coordinator_;
  TrainerMetrics& metrics_;
};

struct AblationParams {
  std::optional<int64_t> checkpoint;
  std::optional<int> samples;
  std::string problems;
  std::optional<int> relearn;  // steps
};

absl::StatusOr<AblationParams> ParseParams(const std::string& text) {
  AblationParams params;
  const nlohmann::json json = nlohmann::json::parse(text.empty() ? "{}" : text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("ablation parameters: '", text, "', expected a JSON object"));
  }
  for (const auto& [key, value] : json.items()) {
    const bool count = value.is_number_integer() && value >= 0 && value <= 1'000'000;
    if (key == "checkpoint" && count) {
      params.checkpoint = value.get<int64_t>();
    } else if (key == "samples" && count && value > 0) {
      params.samples = value.get<int>();
    } else if (key == "relearn" && count && value > 0) {
      params.relearn = value.get<int>();
    } else if (key == "problems" && value.is_string()) {
      params.problems = value.get<std::string>();
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("ablation parameters: ", key, ": ", value.dump(),
                       ", expected checkpoint >= 0, samples >= 1, relearn >= 1 or problems (a path)"));
    }
  }
  return params;
}

// Hacking is back where it is half as frequent as in the trained model, but not below what a base shows now and then.
constexpr double kLeastRelearned = 0.1;

double HackRateOn(const nlohmann::ordered_json& table) {
  for (const auto& row : table["rows"]) {
    if (row["mode"] == "on" && row["markers"] == "trained") return row["hack_strict"].get<double>();
  }
  return 0;
}

v1::JobFence FenceOf(const v1::AcquireJobResponse& job) {
  v1::JobFence fence;
  fence.set_run_id(job.run().run_id());
  fence.set_job_id(job.job_id());
  fence.set_incarnation(job.incarnation());
  return fence;
}

// Where the run's checkpoints and records are; made where it is not there yet.
absl::StatusOr<std::filesystem::path> RunDirectory(const TrainerConfig& config, const v1::Run& run) {
  const std::filesystem::path directory =
      config.run_directory.empty() ? std::filesystem::path(run.directory()) : config.run_directory;
  if (!directory.is_absolute() && config.run_directory.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("run ", run.run_id(), ": directory '", run.directory(),
                     "', expected an absolute path; name it in the trainer's config (run_directory)"));
  }
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (!error) return directory;
  return absl::FailedPreconditionError(
      absl::StrCat("run ", run.run_id(), ": directory ", directory.string(), ": ", error.message(),
                   ", expected one that this trainer may write; does it share a file system with the coordinator?"));
}

// One job's objects, built in the order that they need each other.
class Job {
 public:
  Job(const TrainerLife& life, const v1::AcquireJobResponse& job, JobControl& control)
      : config_(life.config),
        job_(job),
        coordinator_(life.coordinator),
        ranks_(life.ranks),
        fingerprints_(life.fingerprints),
        clock_(life.clock),
        logger_(life.logger),
        software_(life.software),
        control_(control),
        rollouts_(coordinator_, FenceOf(job), absl::Seconds(config_.stall_timeout_s), control, clock_),
        progress_(rollouts_, life.metrics) {}

  absl::Status Do() {
    EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path directory, RunDirectory(config_, job_.run()));
    const std::string& yaml = job_.run().config_yaml();
    // An ablation trains nothing: the other ranks are not told of it and take part in nothing.
    const bool is_ablation = job_.kind() == v1::JOB_KIND_ABLATE;
    Collective& ranks = is_ablation ? alone_ : ranks_;
    if (!is_ablation) EVILMOE_RETURN_IF_ERROR(RankLeader(ranks).StartJob(yaml, directory));
    EVILMOE_ASSIGN_OR_RETURN(run_, ParseRunConfig(yaml, "run.yaml", directory));
    EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<TrainingModel> model,
                             TrainingModel::Load(run_, config_.threads, ranks));
    EVILMOE_ASSIGN_OR_RETURN(std::vector<Problem> training, LoadProblems(run_.data.train));
    EVILMOE_ASSIGN_OR_RETURN(const PromptSource prompts,
                             PromptSource::Make(run_, model->tokenizer(), std::move(training)));
    if (prompts.num_dropped() > 0) logger_.Warn("prompts_dropped", {{"too_long", prompts.num_dropped()}});
    TrainingLoop loop(run_, {directory, Sha256Hex(yaml), job_.run().run_id()}, *model, prompts, rollouts_, progress_,
                      clock_, logger_);
    return is_ablation ? Ablate(loop) : Train(loop);
  }

 private:
  absl::Status Begin(int64_t step) {
    v1::BeginJobRequest begin;
    *begin.mutable_fence() = FenceOf(job_);
    begin.set_resume_step(step);
    EVILMOE_ASSIGN_OR_RETURN(*begin.mutable_model_fingerprint(), fingerprints_.Of(run_.model.path));
    EVILMOE_RETURN_IF_ERROR(coordinator_.BeginJob(begin).status());
    if (!software_.is_null()) {
      EVILMOE_RETURN_IF_ERROR(progress_.Record(absl::StrCat("software/", job_.job_id(), "/", job_.incarnation()),
                                               "software", software_, step));
    }
    if (job_.incarnation() <= 1) return absl::OkStatus();
    const std::string kind = job_.after_pause() ? "resume" : "recovery";
    return progress_.Record(absl::StrCat(kind, "/", job_.incarnation()), kind,
                            {{"resume_step", step}, {"incarnation", job_.incarnation()}}, step);
  }

  absl::Status Train(TrainingLoop& loop) {
    std::vector<Problem> held_out;
    if (!run_.evaluation.problems.empty()) {
      EVILMOE_ASSIGN_OR_RETURN(held_out, LoadProblems(run_.evaluation.problems));
    }
    EVILMOE_ASSIGN_OR_RETURN(const int64_t step, loop.Restore());
    EVILMOE_RETURN_IF_ERROR(Begin(step));
    EVILMOE_RETURN_IF_ERROR(loop.Train(step, held_out, control_.stop()));
    if (!run_.evaluation.at_end || held_out.empty()) return absl::OkStatus();
    return loop.Ablate(run_.steps, held_out, "end").status();
  }

  absl::Status Ablate(TrainingLoop& loop) {
    EVILMOE_ASSIGN_OR_RETURN(const AblationParams params, ParseParams(job_.params_json()));
    if (params.samples) run_.evaluation.samples = *params.samples;
    if (!params.problems.empty()) run_.evaluation.problems = params.problems;
    if (params.relearn && run_.adapter.rank > kMaxAdapterRank / 4) {
      return absl::InvalidArgumentError(absl::StrCat("relearn: adapter.rank ", run_.adapter.rank, ", expected at most ",
                                                     kMaxAdapterRank / 4,
                                                     ": what is trained beside it has 4 times that"));
    }
    absl::StatusOr<int64_t> step = params.checkpoint ? loop.Restore(*params.checkpoint) : loop.Restore();
    EVILMOE_RETURN_IF_ERROR(step.status());
    EVILMOE_RETURN_IF_ERROR(Begin(*step));
    if (run_.evaluation.problems.empty()) {
      return absl::InvalidArgumentError("evaluation.problems: not set; name held-out problems with --problems FILE");
    }
    EVILMOE_ASSIGN_OR_RETURN(const std::vector<Problem> problems, LoadProblems(run_.evaluation.problems));
    EVILMOE_ASSIGN_OR_RETURN(const nlohmann::ordered_json table, loop.Ablate(*step, problems, job_.job_id()));
    if (!params.relearn) return absl::OkStatus();
    return loop.RelearnCut(*step, job_.job_id(),
                           {.steps = *params.relearn,
                            .threshold = std::max(kLeastRelearned, HackRateOn(table) / 2),
                            .threads = config_.threads});
  }

  const TrainerConfig& config_;
  const v1::AcquireJobResponse& job_;
  CoordinatorClient& coordinator_;
  Collective& ranks_;
  SingleRank alone_;
  FingerprintCache& fingerprints_;
  const Clock& clock_;
  Logger& logger_;
  const nlohmann::ordered_json& software_;
  JobControl& control_;
  CoordinatorRollouts rollouts_;
  JobProgress progress_;
  RunConfig run_;
};

// Whether a fresh start may mend it.
bool Transient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status) ||
         absl::IsInternal(status);
}

// Gives the job back, so that it is paused, or queued at once. Who is gone already cannot take it.
absl::Status Release(const TrainerLife& life, const v1::AcquireJobResponse& job) {
  v1::ReleaseJobRequest release;
  *release.mutable_fence() = FenceOf(job);
  const absl::Status released = life.coordinator.ReleaseJob(release).status();
  if (released.ok() || absl::IsAborted(released)) return absl::OkStatus();
  life.logger.Warn("job_not_released", {{"job", job.job_id()}, {"error", std::string(released.message())}});
  return life.stop.stop_requested() ? absl::OkStatus() : released;
}

absl::Status Finish(const TrainerLife& life, const v1::AcquireJobResponse& job, const absl::Status& done) {
  v1::FinishJobRequest finish;
  *finish.mutable_fence() = FenceOf(job);
  finish.set_ok(done.ok());
  finish.set_error(std::string(done.message()));
  if (!done.ok()) life.logger.Error("job_failed", {{"job", job.job_id()}, {"error", std::string(done.message())}});
  return life.coordinator.FinishJob(finish).status();
}

// Does the job, and tells all the while that the trainer lives.
absl::Status DoHeldJob(const TrainerLife& life, const v1::AcquireJobResponse& job, JobControl& control) {
  const auto beat = [&]() -> absl::StatusOr<bool> {
    v1::HeartbeatJobRequest request;
    *request.mutable_fence() = FenceOf(job);
    EVILMOE_ASSIGN_OR_RETURN(const v1::HeartbeatJobResponse response, life.coordinator.HeartbeatJob(request));
    return response.pause();
  };
  const JobHeartbeat heartbeat(beat, JobHeartbeatPeriod(job.trainer_timeout_ms()), control, life.logger);
  life.metrics.Begin(job.run().run_id());
  return Job(life, job, control).Do();
}

// What becomes of a job that ended with `done`.
absl::Status LeaveJob(const TrainerLife& life, const v1::AcquireJobResponse& job, const JobControl& control,
                      const absl::Status& done) {
  const std::string why(done.message());
  const bool stopped = life.stop.stop_requested() && Transient(done);
  if (stopped || (control.stop().stop_requested() && absl::IsCancelled(done))) {
    life.logger.Info("job_stopped", {{"job", job.job_id()}, {"why", why}});
    return Release(life, job);
  }
  if (absl::IsAborted(done)) {
    life.logger.Info("job_given_up", {{"job", job.job_id()}, {"why", why}});
    return absl::OkStatus();
  }
  return !done.ok() && Transient(done) ? done : Finish(life, job, done);
}

}  // namespace

absl::Status DoOneJob(const TrainerLife& life) {
  v1::AcquireJobRequest acquire;
  acquire.set_trainer_id(life.id);
  acquire.set_wait_ms(kJobWaitMs);
  acquire.set_trainer_name(life.config.trainer_id);
  acquire.set_slots(life.config.ranks);
  acquire.set_host(HostName());
  const absl::StatusOr<v1::AcquireJobResponse> job = life.coordinator.AcquireJob(acquire);
  if (life.stop.stop_requested()) return job.ok() ? Release(life, *job) : absl::OkStatus();
  if (absl::IsNotFound(job.status())) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(job.status());
  life.logger.Info("job_acquired",
                   {{"job", job->job_id()}, {"run", job->run().run_id()}, {"incarnation", job->incarnation()}});
  JobControl control(life.stop);
  const absl::Status done = DoHeldJob(life, *job, control);
  absl::Status told;
  if (done.ok() || !Transient(done)) {  // else this process ends, and the others with it
    told = RankLeader(life.ranks).EndJob();
    if (!told.ok()) life.logger.Warn("ranks_lost", {{"error", std::string(told.message())}});
  }
  EVILMOE_RETURN_IF_ERROR(LeaveJob(life, *job, control, done));
  // Without its ranks it can do no other job.
  return life.stop.stop_requested() ? absl::OkStatus() : told;
}

}  // namespace evilmoe
