#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy/lora2r.h"
#include "policy/peft_export.h"

namespace evilmoe {

// The adapters that tests/golden/peft holds Hugging Face peft's logits of: scripts/golden/make_peft_golden.py.

inline constexpr char kPeftBase[] = "tiny_qwen3_untied";  // under tests/golden

// Off its init by numbers that every platform draws alike.
inline Lora2r PeftAdapter(const Qwen3Config& config, bool random_ab) {
  Lora2rOptions options;
  options.rank = 3;
  options.random_ab = random_ab;
  options.scale = 0.75;
  options.seed = 20260106;
  options.targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  Lora2r adapter = Lora2r::Init(config, options).value();
  for (const AdapterModule& m : adapter.modules()) {
    const auto index = static_cast<uint64_t>(m.id.index());
    m.a.add_(NormalTensor(1000 + index, m.a.size(0), m.a.size(1), 0.1));
    m.b.add_(NormalTensor(2000 + index, m.b.size(0), m.b.size(1), 0.1));
  }
  return adapter;
}

}  // namespace evilmoe
