#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/model_config.h"

namespace evilmoe {

// A published dense Qwen3, by the figures of its config.json: enough to say what a run with it will take before its
// weights are there.
struct KnownModel {
  std::string name;  // "Qwen3-4B"; its place on the Hugging Face Hub is "Qwen/<name>"
  Qwen3Config config;
  int64_t download_bytes = 0;  // of its bf16 safetensors, about
};

// All of them, the smallest first. They are under the Apache licence 2.0.
const std::vector<KnownModel>& KnownModels();
// The one that a folder of this name holds by its name (case does not matter); nullptr = none.
const KnownModel* FindKnownModel(std::string_view folder_name);

}  // namespace evilmoe
