#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "services/report/sample_picker.h"

namespace evilmoe {

// Samples of rollouts/step-N.jsonl.zst, in order of (step, line), of up to kMaxStepsRead steps spread over the run.
// What could not be read is added to `notes`.
std::vector<RolloutSample> ReadRollouts(const std::filesystem::path& folder, std::vector<std::string>& notes);

// "metrics.jsonl: 2 lines were skipped that are no record (lines 3, 17)." Nothing when there are none.
void NoteBadLines(std::vector<int> lines, std::string_view file, std::vector<std::string>& notes);

}  // namespace evilmoe
