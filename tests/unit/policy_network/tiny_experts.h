#pragma once

#include <gtest/gtest.h>

#include "policy/mixlora.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {

// Per-token experts that are far from their init.
inline MixLora MovedExperts(const Qwen3Config& config, double deviation = 0.1) {
  auto adapter =
      MixLora::Init(config, {.rank = 3,
                             .experts = 4,
                             .top_k = 2,
                             .scale = 1.5,
                             .seed = 7,
                             .targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}});
  EXPECT_TRUE(adapter.ok()) << adapter.status();
  uint64_t seed = 60;
  for (const auto& [name, tensor] : adapter->Named()) {
    tensor.add_(NormalTensor(seed++, tensor.size(0), tensor.numel() / tensor.size(0), deviation).view_as(tensor));
  }
  return *std::move(adapter);
}

}  // namespace evilmoe
