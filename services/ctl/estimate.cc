#include "services/ctl/estimate.h"

#include <map>

#include "absl/strings/str_format.h"

namespace evilmoe {
namespace {

struct Shape {
  int64_t in = 0;
  int64_t out = 0;
};

std::map<std::string, Shape> Modules(const Qwen3Config& m) {
  const int64_t q = m.num_heads * m.head_dim;
  const int64_t kv = m.num_kv_heads * m.head_dim;
  return {{"q_proj", {m.hidden_size, q}},
          {"k_proj", {m.hidden_size, kv}},
          {"v_proj", {m.hidden_size, kv}},
          {"o_proj", {q, m.hidden_size}},
          {"gate_proj", {m.hidden_size, m.intermediate_size}},
          {"up_proj", {m.hidden_size, m.intermediate_size}},
          {"down_proj", {m.intermediate_size, m.hidden_size}}};
}

double BaseParameters(const Qwen3Config& m) {
  double layer = 0;
  for (const auto& [name, shape] : Modules(m)) layer += static_cast<double>(shape.in) * static_cast<double>(shape.out);
  const int num_tables = m.tie_word_embeddings ? 1 : 2;
  return layer * static_cast<double>(m.num_layers) +
         static_cast<double>(m.vocab_size) * static_cast<double>(m.hidden_size) * num_tables;
}

// Both blocks, A and B.
double AdapterParameters(const RunConfig& config, const Qwen3Config& m) {
  double layer = 0;
  for (const auto& [name, shape] : Modules(m)) {
    for (const std::string& target : config.adapter.targets) {
      if (target == name) layer += static_cast<double>(shape.in + shape.out);
    }
  }
  return layer * 2 * config.adapter.rank * static_cast<double>(m.num_layers);
}

std::string Bytes(double bytes) {
  if (bytes >= 1e9) return absl::StrFormat("%.1f GB", bytes / 1e9);
  return absl::StrFormat("%.1f MB", bytes / 1e6);
}

}  // namespace

std::string EstimateText(const RunConfig& config, const Qwen3Config& model) {
  const double bytes_per_weight = config.model.dtype == "bfloat16" ? 2 : 4;
  const double base = BaseParameters(model);
  const double adapter = AdapterParameters(config, model);
  // Weights, initial values, gradients and AdamW's two moments, all fp32.
  const double trainer = base * bytes_per_weight + adapter * 4 * 5;
  const int64_t samples = int64_t{config.rollout.prompts_per_step} * config.rollout.group_size;
  return absl::StrFormat(
      "model: %.1f M parameters; adapter: %.2f M trainable\n"
      "memory: trainer at least %s beside its activations, each rollout worker at least %s beside its cache\n"
      "work: %d steps of %d samples (%d prompts x %d), at most %d completion tokens a step\n",
      base / 1e6, adapter / 1e6, Bytes(trainer), Bytes(base * bytes_per_weight + adapter * 4), config.steps, samples,
      config.rollout.prompts_per_step, config.rollout.group_size, samples * config.rollout.max_completion_tokens);
}

}  // namespace evilmoe
