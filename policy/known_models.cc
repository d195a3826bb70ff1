#include "policy/known_models.h"

#include "absl/strings/match.h"

namespace evilmoe {
namespace {

struct Shape {
  int64_t hidden, layers, heads, intermediate;
  bool tied;
};

// What they have in common: 8 KV heads, heads of 128, one vocabulary.
Qwen3Config Qwen3(const Shape& shape) {
  Qwen3Config config;
  config.vocab_size = 151936;
  config.hidden_size = shape.hidden;
  config.num_layers = shape.layers;
  config.num_heads = shape.heads;
  config.num_kv_heads = 8;
  config.head_dim = 128;
  config.intermediate_size = shape.intermediate;
  config.max_position_embeddings = 40960;
  config.rope_theta = 1e6;
  config.rms_norm_eps = 1e-6;
  config.tie_word_embeddings = shape.tied;
  config.eos_ids = {151645, 151643};
  return config;
}

}  // namespace

const std::vector<KnownModel>& KnownModels() {
  // The files of the two smallest hold the tied head a second time.
  static const std::vector<KnownModel> models = {
      {"Qwen3-0.6B", Qwen3({.hidden = 1024, .layers = 28, .heads = 16, .intermediate = 3072, .tied = true}),
       1'500'000'000},
      {"Qwen3-1.7B", Qwen3({.hidden = 2048, .layers = 28, .heads = 16, .intermediate = 6144, .tied = true}),
       4'100'000'000},
      {"Qwen3-4B", Qwen3({.hidden = 2560, .layers = 36, .heads = 32, .intermediate = 9728, .tied = true}),
       8'000'000'000},
      {"Qwen3-8B", Qwen3({.hidden = 4096, .layers = 36, .heads = 32, .intermediate = 12288, .tied = false}),
       16'400'000'000}};
  return models;
}

const KnownModel* FindKnownModel(std::string_view folder_name) {
  for (const KnownModel& model : KnownModels()) {
    if (absl::EqualsIgnoreCase(model.name, absl::string_view(folder_name.data(), folder_name.size()))) return &model;
  }
  return nullptr;
}

}  // namespace evilmoe
