#include "services/ctl/estimate.h"

#include <algorithm>
#include <cmath>

#include "rollout_workers/rollout_config.h"
#include "services/ctl/run_work.h"

namespace evilmoe {
namespace {

// Of rollouts/: a completion token with its log-probability, compressed; 4 were measured on nano.
constexpr Span kRolloutBytesAToken = {4, 8};
constexpr double kSmallestForGpu = 1e8;  // parameters: below it a GPU is not what anybody asks for

Lengths LengthsOf(const RunConfig& config, double part) {
  return {part * config.rollout.max_prompt_tokens, part * config.rollout.max_completion_tokens};
}

// Of one evaluation: every problem under both marker families, in each mode (trainer/ablation.cc).
double EvaluationGroups(const RunConfig& config, int64_t num_problems) {
  const int64_t limit = config.evaluation.max_problems;
  const double problems = static_cast<double>(limit > 0 ? std::min(limit, num_problems) : num_problems);
  const double modes = HasQuarantine(config) ? 5 + config.evaluation.random_half_seeds : 2;
  return problems * modes * 2;
}

double Evaluations(const RunConfig& config) {
  if (config.evaluation.problems.empty()) return 0;
  const int during = config.evaluation.every > 0 ? config.steps / config.evaluation.every : 0;
  return during + (config.evaluation.at_end ? 1 : 0);
}

TimeEstimate TimeOn(const DeviceSpeed& device, const EstimateInput& input, const RunWork& work, double running,
                    double evaluation_groups) {
  const RunConfig& config = input.config;
  TimeEstimate time;
  time.device = device.name;
  for (const bool fast : {true, false}) {
    const Lengths lengths = LengthsOf(config, fast ? kShortestPart : 1);
    const double train = work.TrainFlops(lengths, static_cast<double>(input.pair_tokens)) /
                         (fast ? device.train_flops.high : device.train_flops.low);
    const double samples = config.rollout.group_size;
    const double step =
        train + work.SampleSeconds(config.rollout.prompts_per_step, samples, lengths, running, device, fast);
    const double evaluation =
        work.SampleSeconds(evaluation_groups, config.evaluation.samples, lengths, running, device, fast);
    const double run = config.steps * step + Evaluations(config) * evaluation;
    (fast ? time.step_s.low : time.step_s.high) = step;
    (fast ? time.evaluation_s.low : time.evaluation_s.high) = evaluation;
    (fast ? time.run_s.low : time.run_s.high) = run;
  }
  return time;
}

void AddMemory(const EstimateInput& input, const RunWork& work, Estimate& e) {
  const RolloutWorkerConfig worker;
  e.num_ranks = input.stack.num_ranks;
  e.num_workers = input.stack.num_workers;
  e.num_threads = std::max(1, input.num_cores / e.num_ranks);
  e.trainer_bytes = {work.TrainerBytes(e.num_threads), work.TrainerBytes(e.num_threads)};
  e.activation_bytes = {work.ActivationBytes(LengthsOf(input.config, kShortestPart)),
                        work.ActivationBytes(LengthsOf(input.config, 1))};
  e.worker_bytes = {work.WorkerBytes(1), work.WorkerBytes(3)};
  const double cache = static_cast<double>(worker.kv_cache_mib) * 1024 * 1024;
  e.samples_in_cache = std::min<double>(std::max(0.0, work.SamplesIn(cache)), worker.max_samples);
  const double samples = std::min<double>(static_cast<double>(e.prompts) * e.group_size, worker.max_samples);
  e.cache_bytes = {std::min(cache, work.CacheBytes(samples, LengthsOf(input.config, kShortestPart))),
                   std::min(cache, work.CacheBytes(samples, LengthsOf(input.config, 1)))};
  for (double Span::*end : {&Span::low, &Span::high}) {
    e.all_bytes.*end = e.num_ranks * (e.trainer_bytes.*end + e.num_threads * e.activation_bytes.*end) +
                       e.num_workers * (e.worker_bytes.*end + e.cache_bytes.*end);
  }
}

void AddTimes(const EstimateInput& input, const RunWork& work, Estimate& e) {
  const RunConfig& config = input.config;
  const bool bfloat16 = config.model.dtype == "bfloat16";
  const double samples = static_cast<double>(e.prompts) * e.group_size;
  double evaluation_groups = 0;
  e.evaluations = Evaluations(config);
  if (e.evaluations > 0 && input.held_out_problems) {
    evaluation_groups = EvaluationGroups(config, *input.held_out_problems);
  }
  if (e.evaluations == 0 || input.held_out_problems) {
    e.evaluation_samples = evaluation_groups * config.evaluation.samples;
  }
  const double running = std::clamp(e.samples_in_cache * e.num_workers, 1.0, samples);
  e.times.push_back(TimeOn(CpuSpeed(input.num_cores, bfloat16), input, work, running, evaluation_groups));
  e.times.back().measured = true;
  if (!bfloat16 || e.base_parameters < kSmallestForGpu) return;
  for (const DeviceSpeed& gpu : GpuSpeeds()) {
    TimeEstimate& time = e.times.emplace_back(TimeOn(gpu, input, work, samples, evaluation_groups));
    time.fits = work.TrainerBytes(1) + e.activation_bytes.low <= gpu.memory_bytes;
    time.fits_all = work.TrainerBytes(1) + e.activation_bytes.high <= gpu.memory_bytes;
  }
}

void AddDisk(const EstimateInput& input, const RunWork& work, Estimate& e) {
  const RunConfig& config = input.config;
  const double adapters = config.steps * work.AdapterFileBytes();
  const double kept = std::min(config.checkpoint.keep, 1 + (config.steps - 1) / config.checkpoint.every);
  e.adapters_bytes = {adapters, adapters};
  e.checkpoints_bytes = {kept * work.CheckpointBytes(), (kept + 1) * work.CheckpointBytes()};
  e.rollouts_bytes = {config.steps * e.completion_tokens.low * kRolloutBytesAToken.low,
                      config.steps * e.completion_tokens.high * kRolloutBytesAToken.high};
}

}  // namespace

Estimate EstimateRun(const EstimateInput& input) {
  const RunConfig& config = input.config;
  const RunWork work(config, input.model);
  Estimate e;
  e.model_source = input.model_source;
  e.dtype = config.model.dtype;
  e.base_parameters = static_cast<double>(NumParameters(input.model));
  e.adapter_parameters = work.adapter_parameters();
  e.steps = config.steps;
  e.prompts = config.rollout.prompts_per_step;
  e.group_size = config.rollout.group_size;
  const double most = static_cast<double>(e.prompts) * e.group_size * config.rollout.max_completion_tokens;
  e.completion_tokens = {kShortestPart * most, most};
  AddMemory(input, work, e);
  AddTimes(input, work, e);
  AddDisk(input, work, e);
  return e;
}

}  // namespace evilmoe
