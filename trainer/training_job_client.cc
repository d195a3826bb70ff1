#include "trainer/training_job_client.h"

#include <prometheus/registry.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "policy/weights_fingerprint.h"
#include "trainer/checkpoint.h"
#include "trainer/coordinator_rollouts_client.h"
#include "trainer/rank_leader.h"
#include "trainer/trainer_metrics.h"
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

// What every job of this process is given.
struct JobSurroundings {
  const TrainerConfig& config;
  CoordinatorClient& coordinator;
  Collective& ranks;
  prometheus::Registry& registry;
  const Clock& clock;
  Logger& logger;
  const std::stop_token& stop;
};

// One job's objects, built in the order that they need each other.
class Job {
 public:
  Job(const JobSurroundings& around, const v1::AcquireJobResponse& job)
      : config_(around.config),
        job_(job),
        coordinator_(around.coordinator),
        ranks_(around.ranks),
        clock_(around.clock),
        logger_(around.logger),
        stop_(around.stop),
        metrics_(around.registry, job.run().run_id(), clock_),
        rollouts_(coordinator_, Fence(), absl::Seconds(config_.stall_timeout_s), clock_, logger_),
        progress_(rollouts_, metrics_) {}

  v1::JobFence Fence() const {
    v1::JobFence fence;
    fence.set_run_id(job_.run().run_id());
    fence.set_job_id(job_.job_id());
    fence.set_incarnation(job_.incarnation());
    return fence;
  }

  absl::Status Do() {
    const std::string& yaml = job_.run().config_yaml();
    // An ablation trains nothing: the other ranks are not told of it and take part in nothing.
    const bool is_ablation = job_.kind() == v1::JOB_KIND_ABLATE;
    Collective& ranks = is_ablation ? alone_ : ranks_;
    if (!is_ablation) EVILMOE_RETURN_IF_ERROR(RankLeader(ranks).StartJob(yaml));
    EVILMOE_ASSIGN_OR_RETURN(run_, ParseRunConfig(yaml, "run.yaml", config_.run_directory));
    EVILMOE_ASSIGN_OR_RETURN(const std::unique_ptr<TrainingModel> model,
                             TrainingModel::Load(run_, config_.threads, ranks));
    EVILMOE_ASSIGN_OR_RETURN(std::vector<Problem> training, LoadProblems(run_.data.train));
    EVILMOE_ASSIGN_OR_RETURN(const PromptSource prompts,
                             PromptSource::Make(run_, model->tokenizer(), std::move(training)));
    if (prompts.num_dropped() > 0) logger_.Warn("prompts_dropped", {{"too_long", prompts.num_dropped()}});
    TrainingLoop loop(run_, {config_.run_directory, Sha256Hex(yaml), job_.run().run_id()}, *model, prompts, rollouts_,
                      progress_, clock_, logger_);
    return is_ablation ? Ablate(loop) : Train(loop);
  }

 private:
  absl::Status Begin(int64_t step) {
    v1::BeginJobRequest begin;
    *begin.mutable_fence() = Fence();
    begin.set_resume_step(step);
    EVILMOE_ASSIGN_OR_RETURN(*begin.mutable_model_fingerprint(), WeightsFingerprint(run_.model.path));
    EVILMOE_RETURN_IF_ERROR(coordinator_.BeginJob(begin).status());
    if (job_.incarnation() <= 1) return absl::OkStatus();
    return progress_.Record(absl::StrCat("recovery/", job_.incarnation()), "recovery",
                            {{"resume_step", step}, {"incarnation", job_.incarnation()}}, step);
  }

  absl::Status Train(TrainingLoop& loop) {
    std::vector<Problem> held_out;
    if (!run_.evaluation.problems.empty()) {
      EVILMOE_ASSIGN_OR_RETURN(held_out, LoadProblems(run_.evaluation.problems));
    }
    EVILMOE_ASSIGN_OR_RETURN(const int64_t step, loop.Restore());
    EVILMOE_RETURN_IF_ERROR(Begin(step));
    EVILMOE_RETURN_IF_ERROR(loop.Train(step, held_out, stop_));
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
  const Clock& clock_;
  Logger& logger_;
  const std::stop_token stop_;
  TrainerMetrics metrics_;
  CoordinatorRollouts rollouts_;
  JobProgress progress_;
  RunConfig run_;
};

// Whether a fresh start may mend it.
bool Transient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status) ||
         absl::IsInternal(status);
}

}  // namespace

absl::Status DoOneJob(const TrainerConfig& config, CoordinatorClient& coordinator, Collective& ranks,
                      prometheus::Registry& registry, const Clock& clock, Logger& logger, const std::stop_token& stop) {
  v1::AcquireJobRequest acquire;
  // Unique to this process's life, so that a restarted trainer takes its job over and fences off the old one.
  acquire.set_trainer_id(absl::StrCat(config.trainer_id, "-", getpid(), "-", absl::ToUnixMillis(clock.Now())));
  acquire.set_wait_ms(kJobWaitMs);
  const absl::StatusOr<v1::AcquireJobResponse> acquired = coordinator.AcquireJob(acquire);
  if (absl::IsNotFound(acquired.status()) || stop.stop_requested()) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(acquired.status());
  logger.Info(
      "job_acquired",
      {{"job", acquired->job_id()}, {"run", acquired->run().run_id()}, {"incarnation", acquired->incarnation()}});
  Job job({config, coordinator, ranks, registry, clock, logger, stop}, *acquired);
  const absl::Status done = job.Do();
  if (done.ok() || !Transient(done)) {  // else this process ends, and the others with it
    const absl::Status told = RankLeader(ranks).EndJob();
    if (!told.ok()) logger.Warn("ranks_lost", {{"error", std::string(told.message())}});
  }
  if (stop.stop_requested() && (absl::IsCancelled(done) || Transient(done))) {
    logger.Info("job_stopped", {{"job", acquired->job_id()}, {"why", std::string(done.message())}});
    return absl::OkStatus();
  }
  if (absl::IsAborted(done)) {
    logger.Info("job_given_up", {{"job", acquired->job_id()}, {"why", std::string(done.message())}});
    return absl::OkStatus();
  }
  if (!done.ok() && Transient(done)) return done;
  v1::FinishJobRequest finish;
  *finish.mutable_fence() = job.Fence();
  finish.set_ok(done.ok());
  finish.set_error(std::string(done.message()));
  if (!done.ok()) logger.Error("job_failed", {{"job", acquired->job_id()}, {"error", std::string(done.message())}});
  return coordinator.FinishJob(finish).status();
}

}  // namespace evilmoe
