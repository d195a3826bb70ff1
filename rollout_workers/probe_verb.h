#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <vector>

#include "absl/status/status.h"
#include "rollout_workers/labelled_rollouts.h"

namespace evilmoe {

struct ProbeTrainOptions {
  std::filesystem::path model;                  // the base, whose activations are read
  std::vector<std::filesystem::path> rollouts;  // labelled rollouts, >= 1 file
  LabelledRolloutsOptions read;
  int layer = 0;          // [1, layers of the model]
  double fpr = 0.01;      // target false-positive rate, (0, 1)
  double held_out = 0.3;  // share of the problems that only the threshold and the figures see, (0, 1)
  double l2 = 1.0;        // > 0; on standardised features
  uint64_t seed = 0;      // of the split and the bootstrap
  int threads = 1;
  std::filesystem::path out;  // safetensors
};

// `probe train`: logistic regression of the label on response means (trainer/probe_features.h), standardised; problems
// are split by hash into a part to train on and one to measure on. Writes the probe and says on `out` how well it tells
// hacks on the held-out problems. The threshold is taken there too, so the true-positive rate given is a little kind.
// InvalidArgument, NotFound: what was named is not usable; nothing is written then.
absl::Status RunProbeTrain(const ProbeTrainOptions& options, std::ostream& out);

}  // namespace evilmoe
