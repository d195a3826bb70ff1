#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/optimizer.h"
#include "trainer/trained_adapter.h"

namespace evilmoe {

// What a run needs to go on: adapter, optimizers, the gate's own state and the step. Every random draw is a function of
// (seed, step), so there is no generator state to keep.
struct TrainerState {
  int64_t step = 0;                                         // steps done
  std::string run_id;                                       // goes into the adapter's metadata
  int bad_steps = 0;                                        // the last so many steps were dropped
  const TrainedAdapter* adapter = nullptr;                  // loading writes into its parameters
  std::vector<std::pair<std::string, at::Tensor>> tensors;  // of the gate; loading writes into them
  std::vector<std::pair<std::string, AdamW*>> optimizers;
};

// Writes checkpoints/step-N under `run_directory`: into a temporary folder, fsynced, renamed; the file `latest` moves
// last. Keeps the newest `keep`. A trainer that is killed anywhere in it leaves only whole checkpoints and what
// RewindCheckpoints() removes. `config_sha256` ties it to its run's config.
absl::Status SaveCheckpoint(const std::filesystem::path& run_directory, const std::string& config_sha256,
                            const TrainerState& state, int keep);

// For a run that goes on from `step`: drops the checkpoints after it, which will be written again, all but the newest
// `keep` and what killed trainers left unfinished.
void RewindCheckpoints(const std::filesystem::path& run_directory, int64_t step, int keep);

// Steps of the checkpoints that are there, in order.
std::vector<int64_t> CheckpointSteps(const std::filesystem::path& run_directory);

// Step of the checkpoint that `latest` names; nullopt when there is none.
absl::StatusOr<std::optional<int64_t>> LatestCheckpoint(const std::filesystem::path& run_directory);

// Loads step N into `state`, whose objects have the shapes of the run. DataLoss: a file is missing or broken;
// FailedPrecondition: it belongs to another config.
absl::Status LoadCheckpoint(const std::filesystem::path& run_directory, int64_t step, const std::string& config_sha256,
                            TrainerState& state);

}  // namespace evilmoe
