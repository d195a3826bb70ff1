#include "trainer/training_loop.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "trainer/ablation.h"
#include "trainer/checkpoint.h"
#include "trainer/graded_step.h"
#include "trainer/sampled_step.h"
#include "trainer/step_metrics.h"

namespace evilmoe {
namespace {

void AddUpdate(nlohmann::ordered_json& json, const TrainingModel::Update& update, bool learns_to_route) {
  const StepStats& stats = update.stats;
  json["loss"] = stats.loss;
  json["kl"] = stats.kl ? nlohmann::ordered_json(*stats.kl) : nlohmann::ordered_json(nullptr);
  json["entropy"] = stats.entropy;
  json["clip_fraction_low"] = stats.clip_low;
  json["clip_fraction_high"] = stats.clip_high;
  json["grad_norm"] = update.grad_norm;
  json["grad_norm_deployed"] = update.grad_norm_deployed;
  json["grad_norm_quarantine"] = update.grad_norm_quarantine;
  json["q_mass"] = update.q_mass;
  json["importance_ratio_mean"] = stats.ratio_mean;
  json["importance_ratio_max"] = stats.ratio_max;
  json["logp_difference_mean"] = stats.logp_difference_mean;
  json["logp_difference_max"] = stats.logp_difference_max;
  json["learning_rate"] = update.learning_rate;
  if (learns_to_route) {
    json["pin_loss"] = stats.pin_loss;
    json["pair_separation"] = stats.pair_separation;
    json["router_angle_radians"] = stats.router_angle;
    json["grad_norm_router"] = update.grad_norm_router;
    json["dl_dw"] = stats.dl_dw_norm;
  }
  if (!stats.expert_load.empty()) {
    json["balance_loss"] = stats.balance_loss;
    json["expert_load"] = stats.expert_load;
  }
  if (update.dropped) json["bad_step"] = 1;
  for (auto& value : json) {
    if (value.is_number_float() && !std::isfinite(value.get<double>())) value = nullptr;
  }
}

// Without a router w is 1 by definition, and in a bad step it may be no number: its fields say nothing.
void DropRouterFields(nlohmann::ordered_json& json) {
  for (const char* name : {"w_hack", "w_clean", "w_histogram_hack", "w_histogram_clean", "w_p10", "w_p50", "w_p90",
                           "router_auroc", "leak_hack", "leak_clean"}) {
    json.erase(name);
  }
}

void AddPolicyLag(nlohmann::ordered_json& json, const SampleSummary& summary) {
  const std::optional<double>& mean = summary.policy_lag_mean;
  json["policy_lag_mean"] = mean ? nlohmann::ordered_json(*mean) : nlohmann::ordered_json(nullptr);
  json["policy_lag_max"] = summary.policy_lag_max;
}

void SetRouting(const StepStats& stats, std::vector<SampleRecord>& records) {
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].w = stats.w[i];
    records[i].deployed_factor = stats.deployed_factor[i];
  }
}

std::string WhatIsBad(const TrainingModel::Update& update) {
  return absl::StrCat("loss ", update.stats.loss, ", pin ", update.stats.pin_loss, ", gradient norm ", update.grad_norm,
                      ", router's ", update.grad_norm_router, ", expected finite numbers");
}

std::string EvaluationFile(int64_t step) { return absl::StrCat("ablation-step-", step); }

// Wall-clock seconds of the stages of a step.
class StageTimer {
 public:
  explicit StageTimer(const Clock& clock) : clock_(clock), start_(clock.Now()), last_(start_) {}
  double Lap() {
    const absl::Time now = clock_.Now();
    const double seconds = absl::ToDoubleSeconds(now - last_);
    last_ = now;
    return seconds;
  }
  double Total() const { return absl::ToDoubleSeconds(clock_.Now() - start_); }
  absl::Time start() const { return start_; }
  absl::Time last() const { return last_; }

 private:
  const Clock& clock_;
  const absl::Time start_;
  absl::Time last_;
};

}  // namespace

TrainingLoop::TrainingLoop(const RunConfig& config, RunIdentity identity, TrainingModel& model,
                           const PromptSource& prompts, Rollouts& rollouts, ProgressSink& progress, const Clock& clock,
                           Logger& logger)
    : config_(config),
      identity_(std::move(identity)),
      model_(model),
      prompts_(prompts),
      rollouts_(rollouts),
      progress_(progress),
      clock_(clock),
      logger_(logger),
      recorder_(identity_.directory, clock_),
      trace_(identity_.directory / "trace.json", config.trace, identity_.run_id),
      ranks_(model.collective()) {}

absl::StatusOr<int64_t> TrainingLoop::Restore() {
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<int64_t> step, LatestCheckpoint(identity_.directory));
  return step ? Restore(*step) : absl::StatusOr<int64_t>(0);
}

absl::StatusOr<int64_t> TrainingLoop::Restore(int64_t step) {
  TrainerState state = model_.State(0);
  EVILMOE_RETURN_IF_ERROR(LoadCheckpoint(identity_.directory, step, identity_.config_sha256, state));
  bad_steps_ = state.bad_steps;
  logger_.Info("checkpoint_loaded", {{"step", step}});
  return step;
}

bool TrainingLoop::EvaluationDue(int64_t step, const std::vector<Problem>& held_out) const {
  const int every = config_.evaluation.every;
  return every > 0 && step % every == 0 && step < config_.steps && !held_out.empty();
}

absl::Status TrainingLoop::Train(int64_t step, const std::vector<Problem>& held_out, const std::stop_token& stop) {
  RewindCheckpoints(identity_.directory, step, config_.checkpoint.keep);
  EVILMOE_RETURN_IF_ERROR(recorder_.RewindTo(step));
  trace_.RewindTo(step);
  EVILMOE_ASSIGN_OR_RETURN(Monitoring monitoring, Monitoring::Make(config_, model_, identity_.directory));
  monitoring_.emplace(std::move(monitoring));
  trained_ = recorded_ = saved_ = opened_ = step;
  EVILMOE_RETURN_IF_ERROR(ranks_.Restore(step));
  const absl::Status done = TrainFrom(step, held_out, stop);
  const bool given_up = absl::IsCancelled(done) || absl::IsUnavailable(done) || absl::IsDeadlineExceeded(done);
  if (!stop.stop_requested() || !given_up) return done;
  EVILMOE_RETURN_IF_ERROR(SaveBeforeLeaving());
  return absl::CancelledError(absl::StrCat("stopped after step ", recorded_, ", goes on from step ", saved_));
}

absl::Status TrainingLoop::TrainFrom(int64_t step, const std::vector<Problem>& held_out, const std::stop_token& stop) {
  EVILMOE_RETURN_IF_ERROR(PublishAdapter(step));
  if (step > 0 && !recorder_.HasEvaluation(EvaluationFile(step))) {  // a stop cut it off
    EVILMOE_RETURN_IF_ERROR(EvaluateStep(step, held_out));
  }
  for (; step < config_.steps; ++step) {
    if (stop.stop_requested()) return absl::CancelledError("asked to stop");
    EVILMOE_RETURN_IF_ERROR(Annotate(Step(step), absl::StrCat("step ", step + 1)));
    EVILMOE_RETURN_IF_ERROR(EvaluateStep(step + 1, held_out));
  }
  return absl::OkStatus();
}

// Evaluates after this step where one is due.
absl::Status TrainingLoop::EvaluateStep(int64_t step, const std::vector<Problem>& held_out) {
  if (!EvaluationDue(step, held_out)) return absl::OkStatus();
  return AblateAs(step, held_out, absl::StrCat("step-", step), "step_ablation", EvaluationFile(step)).status();
}

// A model that is ahead of its records would leave a step without its event: then the last checkpoint has to do.
absl::Status TrainingLoop::SaveBeforeLeaving() {
  EVILMOE_RETURN_IF_ERROR(progress_.Held());
  if (trained_ == recorded_ && trained_ != saved_) EVILMOE_RETURN_IF_ERROR(Save());
  logger_.Info("stopped", {{"step", recorded_}, {"checkpoint", saved_}});
  return absl::OkStatus();
}

absl::Status TrainingLoop::PublishAdapter(int64_t step) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes,
                           model_.adapter().Serialize({identity_.run_id, step, identity_.config_sha256}));
  return rollouts_.Publish(step, bytes);
}

// What a batch holds is a function of its step, so it can be drawn ahead. The batches that are open when step s begins,
// s to s + lag, may be sampled from here on with adapter s or any that is published while they wait: none is more than
// `lag` behind its batch.
absl::Status TrainingLoop::OpenAhead(int64_t step) {
  if (config_.rollout.max_policy_lag == 0) return absl::OkStatus();
  const int64_t end = std::min<int64_t>(step + config_.rollout.max_policy_lag + 1, config_.steps);
  for (; opened_ < end; ++opened_) EVILMOE_RETURN_IF_ERROR(rollouts_.Open(prompts_.Step(opened_)));
  return absl::OkStatus();
}

absl::Status TrainingLoop::Step(int64_t step) {
  StageTimer timer(clock_);
  EVILMOE_RETURN_IF_ERROR(OpenAhead(step));
  EVILMOE_ASSIGN_OR_RETURN(SampledStep sampled, SampleStep(config_, prompts_, step, rollouts_, *monitoring_, clock_));
  GradedStep& graded = sampled.graded;
  timer.Lap();
  StepTimes times = {.step = step + 1, .begun = timer.start(), .sampled = timer.last()};
  trained_ = step + 1;  // from here on: a step that fails half-way has moved windows and parameters
  EVILMOE_ASSIGN_OR_RETURN(const TrainingModel::Update update, ranks_.Step(step, graded.groups, model_));
  bad_steps_ = update.dropped ? bad_steps_ + 1 : 0;
  if (!update.dropped) SetRouting(update.stats, graded.records);
  const double train_seconds = timer.Lap();
  times.trained = timer.last();
  EVILMOE_RETURN_IF_ERROR(PublishAdapter(step + 1));

  nlohmann::ordered_json metrics = {{"step", step + 1}};
  const SampleSummary summary = Summarise(graded.records);
  AddTo(metrics, summary);
  if (!model_.routed() || update.dropped) DropRouterFields(metrics);
  AddUpdate(metrics, update, model_.learns_to_route());
  int64_t sampled_tokens = 0;
  for (const SampleRecord& record : graded.records) sampled_tokens += record.num_tokens;
  if (config_.loss.sequence_mask_above) metrics["masked_sequences"] = update.stats.masked_sequences;
  metrics["samples"] = graded.records.size();
  metrics["zero_variance_groups"] = graded.zero_variance_groups;
  if (config_.loss.zero_variance == "resample") metrics["resampled_groups"] = sampled.resampled_groups;
  metrics["sampled_tokens"] = sampled_tokens;
  metrics["trained_tokens"] = update.stats.tokens;
  if (config_.rollout.max_policy_lag > 0) AddPolicyLag(metrics, summary);
  for (const auto& [what, count] : sampled.judge_counts) metrics["judge"][what] = count;
  metrics["sample_seconds"] = sampled.sample_seconds;
  if (!sampled.verdicts.empty()) metrics["monitor_seconds"] = sampled.monitor_seconds;
  metrics["train_seconds"] = train_seconds;
  metrics["publish_seconds"] = timer.Lap();
  times.published = timer.last();
  metrics["step_seconds"] = timer.Total();
  metrics["tokens_per_second"] = static_cast<double>(sampled_tokens) / std::max(1e-9, timer.Total());
  SetRouting(update.stats, graded.records);
  EVILMOE_RETURN_IF_ERROR(recorder_.Rollouts(
      step + 1, RolloutLines(step + 1, sampled.batch, sampled.samples, graded.records, sampled.verdicts)));
  trace_.Step(times, config_.rollout.max_policy_lag, sampled.samples);
  if (update.dropped) EVILMOE_RETURN_IF_ERROR(TellBadStep(step + 1, update));
  EVILMOE_RETURN_IF_ERROR(RecordStep(step + 1, metrics));
  if (bad_steps_ < config_.optimizer.max_bad_steps) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(WhatIsBad(update), "; ", bad_steps_,
                                                    " such steps in a row (optimizer.max_bad_steps), all dropped; the "
                                                    "last batch is in ",
                                                    recorder_.RolloutsPath(step + 1).string()));
}

absl::Status TrainingLoop::TellBadStep(int64_t step, const TrainingModel::Update& update) {
  const std::string what = WhatIsBad(update), batch = recorder_.RolloutsPath(step).string();
  logger_.Warn("step_dropped", {{"step", step}, {"in_a_row", bad_steps_}, {"why", what}, {"batch", batch}});
  const std::string message = absl::StrCat("step ", step, " dropped: ", what, "; its batch is in ", batch);
  return progress_.Record(absl::StrCat("bad_step/", step), "warning", {{"message", message}}, step);
}

// The event goes out before the checkpoint: a kill between them repeats the step, whose event is the same one again.
absl::Status TrainingLoop::RecordStep(int64_t step, const nlohmann::ordered_json& metrics) {
  EVILMOE_RETURN_IF_ERROR(recorder_.Step(metrics));
  logger_.Info("step", {{"step", step}, {"reward_mean", metrics["reward_mean"]}, {"seconds", metrics["step_seconds"]}});
  EVILMOE_RETURN_IF_ERROR(progress_.Record(absl::StrCat("step/", step), "step", metrics, step));
  recorded_ = step;
  return step % config_.checkpoint.every == 0 || step == config_.steps ? Save() : absl::OkStatus();
}

absl::Status TrainingLoop::Save() {
  TrainerState state = model_.State(trained_);
  state.run_id = identity_.run_id;
  state.bad_steps = bad_steps_;
  EVILMOE_RETURN_IF_ERROR(SaveCheckpoint(identity_.directory, identity_.config_sha256, state, config_.checkpoint.keep));
  saved_ = trained_;
  progress_.Saved(saved_);
  return absl::OkStatus();
}

absl::StatusOr<nlohmann::ordered_json> TrainingLoop::AblateAs(int64_t step, const std::vector<Problem>& problems,
                                                              const std::string& key, const std::string& kind,
                                                              const std::string& file) {
  EVILMOE_RETURN_IF_ERROR(PublishAdapter(step));
  const Ablation ablation(config_, model_.tokenizer(), problems);
  const auto report = [&](const Ablation::ModeDone& done) {
    const nlohmann::ordered_json payload = {
        {"mode", done.mode}, {"markers", done.markers}, {"done", done.done}, {"total", done.total}};
    const absl::Status told =
        progress_.Record(absl::StrCat("evaluation/", key, "/", done.done), "evaluation", payload, step);
    if (!told.ok()) logger_.Warn("evaluation_progress_lost", {{"error", std::string(told.message())}});
  };
  EVILMOE_ASSIGN_OR_RETURN(const nlohmann::ordered_json table, ablation.Run(key, step, rollouts_, report));
  logger_.Info("ablation", {{"final_line", table["final_line"]}});
  EVILMOE_RETURN_IF_ERROR(progress_.Record(absl::StrCat("ablation/", key), kind, table, step));
  EVILMOE_RETURN_IF_ERROR(recorder_.Evaluation(file, table));  // last: where the file is, the event is too
  return table;
}

absl::Status TrainingLoop::RelearnCut(int64_t step, const std::string& key, const RelearnOptions& options) {
  const Lora2r* two_experts = model_.adapter().two_experts();
  if (two_experts == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("relearn: arm ", config_.arm, " has no quarantine to cut, expected an arm with two experts"));
  }
  const Relearn relearn(config_, model_.base(), *two_experts, prompts_, options);
  const auto report = [&](const Relearn::StepDone& done) {
    const nlohmann::ordered_json payload = {
        {"start", done.start}, {"step", done.step}, {"steps", done.steps}, {"hack_rate", done.hack_rate}};
    const absl::Status told = progress_.Record(absl::StrCat("relearn_step/", key, "/", done.start, "/", done.step),
                                               "relearn_step", payload, step);
    if (!told.ok()) logger_.Warn("relearn_progress_lost", {{"error", std::string(told.message())}});
  };
  EVILMOE_ASSIGN_OR_RETURN(const nlohmann::ordered_json result, relearn.Run(key, step, rollouts_, clock_, report));
  logger_.Info("relearn", {{"line", result["line"]}});
  EVILMOE_RETURN_IF_ERROR(progress_.Record(absl::StrCat("relearn/", key), "relearn", result, step));
  return recorder_.Evaluation("relearn", result);
}

}  // namespace evilmoe
