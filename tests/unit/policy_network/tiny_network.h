#pragma once

#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {

// A network small enough for exact checks: 2 layers, GQA, head_dim apart from hidden / heads.
inline Qwen3Weights TinyNetwork(uint64_t seed = 1) {
  Qwen3Config config;
  config.vocab_size = 61;
  config.hidden_size = 24;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 8;
  config.intermediate_size = 40;
  config.max_position_embeddings = 256;
  config.rope_theta = 10000;
  config.rms_norm_eps = 1e-6;
  config.tie_word_embeddings = true;
  return InitQwen3(config, seed);
}

inline Lora2rOptions TinyAdapterOptions(bool random_ab = true) {
  Lora2rOptions options;
  options.rank = 3;
  options.random_ab = random_ab;
  options.seed = 7;
  options.targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  return options;
}

}  // namespace evilmoe
