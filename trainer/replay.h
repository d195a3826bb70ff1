#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/run_config.h"
#include "trainer/training_model.h"

namespace evilmoe {

// A step done once more, from what its run kept on disk, against what the run recorded of it.

// One number of metrics.jsonl: as the run recorded it and as it came out now. Unset: no finite number (a bad step).
struct ReplayedFigure {
  std::string name;
  std::optional<double> recorded, replayed;
  bool Equal() const { return recorded == replayed; }  // bit for bit
};

struct ReplayedStep {
  int64_t step = 0;  // steps done after it, as in metrics.jsonl
  std::vector<ReplayedFigure> figures;
  bool Equal() const;
};

struct Replay {
  int64_t checkpoint = 0;           // where it began; 0 = the start of the run
  std::vector<ReplayedStep> steps;  // from there to the one that was asked for
};

// Loads the last checkpoint before `step`, or begins where the run began, and does the steps up to `step` with the
// samples of rollouts/. `model` is fresh from TrainingModel::Load with the run's `config`; `config_sha256` is that of
// the run's config.yaml. Only a model with as many threads as the run's trainer had gives the same bits. Nothing is
// written. InvalidArgument: no such step; NotFound: its records, or rollouts of it or a step in between, are not there;
// errors of LoadCheckpoint and ParseRolloutLines.
absl::StatusOr<Replay> ReplayStep(const RunConfig& config, const std::filesystem::path& run_directory,
                                  const std::string& config_sha256, int64_t step, TrainingModel& model);

}  // namespace evilmoe
