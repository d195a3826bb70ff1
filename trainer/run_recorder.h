#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "nlohmann/json.hpp"
#include "trainer/event_files.h"

namespace evilmoe {

// The plain files of a run directory, which hold everything a person may want without us: metrics.jsonl,
// rollouts/step-N.jsonl.zst, eval/, tensorboard/. Not thread-safe.
class RunRecorder {
 public:
  // `clock` must outlive it.
  RunRecorder(std::filesystem::path run_directory, const Clock& clock)
      : directory_(std::move(run_directory)), events_(directory_ / "tensorboard", clock) {}

  // Drops what was written of steps after `step`: a resumed run writes them again.
  absl::Status RewindTo(int64_t step);
  // One line of metrics.jsonl, and the same for TensorBoard; `metrics` has the field "step".
  absl::Status Step(const nlohmann::ordered_json& metrics);
  // rollouts/step-N.jsonl.zst, one line a sample.
  absl::Status Rollouts(int64_t step, const std::vector<nlohmann::ordered_json>& samples);
  static std::filesystem::path RolloutsPath(const std::filesystem::path& run_directory, int64_t step);
  std::filesystem::path RolloutsPath(int64_t step) const { return RolloutsPath(directory_, step); }
  // eval/NAME.json.
  absl::Status Evaluation(const std::string& name, const nlohmann::ordered_json& table);
  bool HasEvaluation(const std::string& name) const;

 private:
  const std::filesystem::path directory_;
  EventFiles events_;
};

}  // namespace evilmoe
