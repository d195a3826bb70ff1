#pragma once

#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "trainer/monitor.h"
#include "trainer/rollouts.h"

namespace evilmoe {

// A batch as rollouts/step-N.jsonl.zst has it: what GradeStep() needs, and no more. `request.groups[].problem` is null.
struct SavedBatch {
  BatchRequest request;
  std::vector<GroupSamples> samples;
  std::vector<MonitorVerdict> verdicts;  // empty: no monitor was asked
};

// The lines of one step. NotFound: there is no such file; DataLoss: it is no zstd frame of JSON lines.
absl::StatusOr<std::vector<nlohmann::json>> ReadRolloutLines(const std::filesystem::path& file);

// The inverse of RolloutLines(), which wrote the lines. FailedPrecondition: they lack what a sample was trained with
// (the field logprobs, and prompt_ids of lost samples), as those of earlier versions do; DataLoss: a field is missing
// or of another type.
absl::StatusOr<SavedBatch> ParseRolloutLines(const std::vector<nlohmann::json>& lines);

}  // namespace evilmoe
