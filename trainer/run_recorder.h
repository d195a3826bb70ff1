#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// The plain files of a run directory, which hold everything a person may want without us: metrics.jsonl,
// rollouts/step-N.jsonl.zst, eval/. Not thread-safe.
class RunRecorder {
 public:
  explicit RunRecorder(std::filesystem::path run_directory) : directory_(std::move(run_directory)) {}

  // Drops what was written of steps after `step`: a resumed run writes them again.
  absl::Status RewindTo(int64_t step);
  // One line of metrics.jsonl; `metrics` has the field "step".
  absl::Status Step(const nlohmann::ordered_json& metrics);
  // rollouts/step-N.jsonl.zst, one line a sample.
  absl::Status Rollouts(int64_t step, const std::vector<nlohmann::ordered_json>& samples);
  std::filesystem::path RolloutsPath(int64_t step) const;
  // eval/NAME.json.
  absl::Status Evaluation(const std::string& name, const nlohmann::ordered_json& table);
  bool HasEvaluation(const std::string& name) const;

 private:
  const std::filesystem::path directory_;
};

}  // namespace evilmoe
