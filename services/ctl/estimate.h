#pragma once

#include <string>

#include "policy/model_config.h"
#include "trainer/run_config.h"

namespace evilmoe {

// A few lines about what a run will cost, for `submit --dry-run`: parameters, memory of the trainer and of one rollout
// worker, samples and tokens at most. Pure; a bound, not a promise.
std::string EstimateText(const RunConfig& config, const Qwen3Config& model);

}  // namespace evilmoe
