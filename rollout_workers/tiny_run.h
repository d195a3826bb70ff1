#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "trainer/run_config.h"

namespace evilmoe {

// A run that needs nothing but a folder: a random Qwen3 of two layers with a tokenizer of bytes, problems, contrastive
// pairs and the config, all written there. The same arm and seed always give the same files. `arm`: of
// trainer/arm_presets.h. InvalidArgument: no such arm. Errors of writing.
absl::StatusOr<RunConfig> MakeTinyRun(const std::filesystem::path& folder, const std::string& arm, uint64_t seed);

}  // namespace evilmoe
