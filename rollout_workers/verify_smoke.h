#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "common/clock.h"
#include "rollout_workers/verify_report.h"

namespace evilmoe {

// Six steps of an arm on a tiny random model through the whole loop: prompts, sampler, rewards, step, records,
// checkpoint; then the same run stopped after three steps and resumed. A seeded coin stands for the grader, since
// random weights write no Python. Works in `folder`. What keeps the run from ending is the error.
absl::Status VerifySmoke(const std::filesystem::path& folder, const std::string& arm, int threads, const Clock& clock,
                         const FindingSink& found);

}  // namespace evilmoe
