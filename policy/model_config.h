#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// The shape of a dense Qwen3 network, as in the config.json of its checkpoint.
struct Qwen3Config {
  int64_t vocab_size = 0;               // rows of the embedding; may exceed the tokenizer's; [1, 2^22]
  int64_t hidden_size = 0;              // [1, 2^17]
  int64_t num_layers = 0;               // [1, 1024]
  int64_t num_heads = 0;                // [1, 4096]
  int64_t num_kv_heads = 0;             // divides num_heads
  int64_t head_dim = 0;                 // even, [2, 4096]; num_heads * head_dim need not be hidden_size
  int64_t intermediate_size = 0;        // [1, 2^20]
  int64_t max_position_embeddings = 0;  // [1, 2^31]
  double rope_theta = 0;
  double rms_norm_eps = 0;
  bool tie_word_embeddings = false;
  std::vector<int32_t> eos_ids;  // tokens that end a completion; may be empty

  friend bool operator==(const Qwen3Config&, const Qwen3Config&) = default;
};

// Parameters of the network; a tied head counts once. At most 2^40 for a config that was read.
int64_t NumParameters(const Qwen3Config& config);

// Reads the text of a config.json, in the published layout (rope_theta) or the newer one (rope_parameters).
// InvalidArgument lists every problem at once: a field missing, ill-typed or out of range, and everything that would
// change the computation and is not implemented (another model_type, architecture, hidden_act or dtype, attention_bias,
// rope scaling or a partial rotation, sliding windows, experts, dropout, quantisation, code of the model's own).
absl::StatusOr<Qwen3Config> ParseQwen3Config(std::string_view json);

// ParseQwen3Config of `folder`/config.json, with the eos ids of generation_config.json where that names some.
// NotFound when there is no config.json; the message names the file.
absl::StatusOr<Qwen3Config> ReadQwen3Config(const std::filesystem::path& folder);

// What config.json holds, so that Hugging Face transformers opens it. `dtype`: "float32" or "bfloat16".
nlohmann::ordered_json Qwen3ConfigToJson(const Qwen3Config& config, const std::string& dtype);

}  // namespace evilmoe
