#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/model_config.h"

namespace evilmoe {

// What `evilmoe-ctl pretrain FILE` reads: how to make a small Qwen3 from nothing. Relative paths are taken from the
// file's folder.
struct PretrainConfig {
  std::filesystem::path tokenizer;  // folder with tokenizer.json; its vocabulary is the model's
  std::filesystem::path text;       // JSON lines {"messages": [...], "response": "..."}, in the order of training
  std::filesystem::path out;        // folder for config.json and model.safetensors
  std::string dtype = "bfloat16";   // of the file that is written: float32 | bfloat16
  uint64_t seed = 0;
  int steps = 1000;             // >= 1
  int batch_size = 32;          // sequences a step, >= 1
  int max_tokens = 512;         // longer sequences are skipped and counted
  double learning_rate = 3e-3;  // peak; linear warm-up, cosine to 2 %
  int warmup_steps = 100;
  double weight_decay = 0.05;  // on matrices
  double max_grad_norm = 1.0;
  int save_every = 500;  // steps, >= 1; the last step is saved in any case
  int threads = 2;       // data-parallel over the batch, [1, 64]
  Qwen3Config model;     // vocab_size and eos_ids come from the tokenizer
};

// InvalidArgument lists every problem with its line and column.
absl::StatusOr<PretrainConfig> ParsePretrainConfig(std::string_view yaml, const std::string& file_name,
                                                   const std::filesystem::path& base_folder);

}  // namespace evilmoe
