#include "services/ctl/run_work.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "trainer/step_memory.h"

namespace evilmoe {
namespace {

// Per-token experts are sampled in ATen, group by group (docs/benchmarks.md).
constexpr double kExpertsSlowdown = 4;
constexpr double kLibTorchBytes = 150e6;  // of a process that does nothing with it yet

// in + out and in · out of each linear map of a layer.
struct MapSize {
  double sum = 0;
  double product = 0;
};

MapSize SizeOf(int64_t in, int64_t out) {
  return {static_cast<double>(in + out), static_cast<double>(in) * static_cast<double>(out)};
}

std::map<std::string, MapSize> Maps(const Qwen3Config& m) {
  const int64_t q = m.num_heads * m.head_dim, kv = m.num_kv_heads * m.head_dim;
  return {{"q_proj", SizeOf(m.hidden_size, q)},
          {"k_proj", SizeOf(m.hidden_size, kv)},
          {"v_proj", SizeOf(m.hidden_size, kv)},
          {"o_proj", SizeOf(q, m.hidden_size)},
          {"gate_proj", SizeOf(m.hidden_size, m.intermediate_size)},
          {"up_proj", SizeOf(m.hidden_size, m.intermediate_size)},
          {"down_proj", SizeOf(m.intermediate_size, m.hidden_size)}};
}

bool IsOfMlp(const std::string& map) { return map == "gate_proj" || map == "up_proj" || map == "down_proj"; }

}  // namespace

RunWork::RunWork(const RunConfig& config, const Qwen3Config& model) : config_(config), model_(model) {
  const auto layers = static_cast<double>(model.num_layers);
  const double rank = config.adapter.rank;
  for (const auto& [name, size] : Maps(model)) {
    layer_parameters_ += layers * size.product;
    const auto& targets = config.adapter.targets;
    if (std::find(targets.begin(), targets.end(), name) == targets.end()) continue;
    const double blocks = HasQuarantine(config) ? 2 : IsOfMlp(name) ? config.routing.experts : 1;
    adapter_parameters_ += layers * size.sum * rank * blocks;
  }
  bytes_a_number_ = config.model.dtype == "bfloat16" ? 2 : 4;
}

double RunWork::weight_bytes() const { return static_cast<double>(NumParameters(model_)) * bytes_a_number_; }

double RunWork::kv_bytes() const {
  return 2.0 * static_cast<double>(model_.num_layers * model_.num_kv_heads * model_.head_dim) * bytes_a_number_;
}

double RunWork::TrainerBytes(int threads) const {
  const double gradients = threads > 1 ? threads + 1 : 1;
  return kLibTorchBytes + weight_bytes() + 4 * adapter_parameters_ * (4 + gradients);
}

double RunWork::ActivationBytes(const Lengths& lengths) const {
  const bool shared = !IsRouted(config_) || config_.adapter.scope == "completion";
  const double group = config_.rollout.group_size;
  const double prompts = shared ? 1 : group;
  const double of_group = prompts * lengths.prompt + group * lengths.completion;
  const double of_step = of_group * config_.rollout.prompts_per_step;
  const double rows = std::max(of_group, std::min(of_step, static_cast<double>(kPartRows)));
  return static_cast<double>(StepPeakBytes(model_,
                                           {.rank = config_.adapter.rank,
                                            .random_ab = config_.adapter.init == "random_ab",
                                            .num_targets = static_cast<int64_t>(config_.adapter.targets.size())},
                                           static_cast<int64_t>(std::ceil(rows))));
}

double RunWork::WorkerBytes(int num_adapters) const {
  const double adapter = 4 * adapter_parameters_;
  if (!HasQuarantine(config_)) return kLibTorchBytes + 2 * weight_bytes() + num_adapters * adapter;
  const double init = 2;  // A0 and B0 beside A and B
  if (config_.model.dtype == "bfloat16") {
    const double packed = config_.adapter.init == "random_ab" ? 2 : 1;
    return kLibTorchBytes + weight_bytes() + num_adapters * adapter * (init + packed);
  }
  // A merged copy of the layers with the quarantine and one without, beside the base as it was and as it is packed.
  const double modes = IsRouted(config_) || config_.rollout.deploy_mode_fraction > 0 ? 2 : 1;
  return kLibTorchBytes + 2 * weight_bytes() +
         num_adapters * (adapter * init + modes * layer_parameters_ * bytes_a_number_);
}

double RunWork::SamplesIn(double cache_bytes) const {
  const RolloutConfig& rollout = config_.rollout;
  const double positions = cache_bytes / kv_bytes();
  return std::floor((positions - rollout.max_prompt_tokens) / rollout.max_completion_tokens);
}

double RunWork::CacheBytes(double samples, const Lengths& lengths) const {
  const double prompts = std::ceil(samples / config_.rollout.group_size);
  return kv_bytes() * (samples * lengths.completion + prompts * lengths.prompt);
}

double RunWork::RowFlops(double context, bool with_adapter) const {
  const double heads = static_cast<double>(model_.num_layers * model_.num_heads * model_.head_dim);
  const double init = config_.adapter.init == "random_ab" && HasQuarantine(config_) ? 2 : 1;
  return 2 * layer_parameters_ + 4 * heads * context + (with_adapter ? 2 * init * adapter_parameters_ : 0);
}

double RunWork::HeadFlops() const {
  return 2.0 * static_cast<double>(model_.vocab_size) * static_cast<double>(model_.hidden_size);
}

double RunWork::TrainFlops(const Lengths& lengths, double pair_tokens) const {
  const double samples = static_cast<double>(config_.rollout.prompts_per_step) * config_.rollout.group_size;
  const bool shared = !IsRouted(config_) || config_.adapter.scope == "completion";
  const double prompt_rows = lengths.prompt * (shared ? config_.rollout.prompts_per_step : samples);
  const double completion_rows = lengths.completion * samples;
  const auto forward = [&](bool with_adapter) {
    return prompt_rows * RowFlops(lengths.prompt / 2, with_adapter) +
           completion_rows * RowFlops(lengths.prompt + lengths.completion / 2, with_adapter);
  };
  const double head = completion_rows * HeadFlops();
  // The base has no gradient: the backward pass goes through it once, through adapter and attention twice.
  const double backward = 2 * forward(true) - (prompt_rows + completion_rows) * 2 * layer_parameters_ + 2 * head;
  const double base_pass = forward(false) + head;  // of the KL against the base
  double flops = forward(true) + head + backward + base_pass;
  const std::string& mode = config_.routing.mode;
  if (mode == "learned" || mode == "fixed_activation") flops += forward(true);
  if (mode == "fixed_gradient") flops += forward(true) + head + backward;
  if (config_.loss.deployed_advantage == "split") flops += backward;
  flops *= config_.loss.inner_steps;
  if (config_.monitor.kind != "none" && config_.monitor.by == "probe") flops += forward(false);
  const double optimizer_steps = static_cast<double>(config_.loss.inner_steps) * config_.loss.minibatches;
  if (mode == "learned") flops += optimizer_steps * pair_tokens * RowFlops(lengths.prompt, true);
  return flops;
}

double RunWork::SampleSeconds(double groups, double samples_a_group, const Lengths& lengths, double running,
                              const DeviceSpeed& device, bool fast) const {
  const bool beside = config_.model.dtype == "bfloat16" || !HasQuarantine(config_);  // the adapter is not merged
  const double rate = fast ? device.sample_flops.high : device.sample_flops.low;
  const double bandwidth = fast ? device.bandwidth.high : device.bandwidth.low;
  const double prompt_flops = groups * lengths.prompt * RowFlops(lengths.prompt / 2, beside);
  const double tokens = groups * samples_a_group * lengths.completion;
  const double context = lengths.prompt + lengths.completion / 2;
  const double decode_flops = tokens * (RowFlops(context, beside) + HeadFlops());
  // Every step of the batch reads the weights once and the cache of each sample.
  const double decode_bytes = tokens / running * weight_bytes() + tokens * context * kv_bytes();
  const double seconds = prompt_flops / rate + std::max(decode_flops / rate, decode_bytes / bandwidth);
  return HasQuarantine(config_) ? seconds : kExpertsSlowdown * seconds;
}

}  // namespace evilmoe
