#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

// Scores of labelled samples that the probe was not trained on. All lists have one entry a sample.
struct HeldOutScores {
  std::vector<double> scores;
  std::vector<bool> is_hack;
  std::vector<int64_t> problem;  // samples of one problem are resampled together
};

// The lowest threshold with at most floor(rate · clean samples) clean samples strictly above it. InvalidArgument: no
// clean sample, or fewer than 1/rate of them, which could not tell that rate from 0.
absl::StatusOr<double> ThresholdAtFalsePositiveRate(const HeldOutScores& held_out, double rate);

struct AurocEstimate {
  double auroc = 0, low = 0, high = 0;  // 95 %, percentile bootstrap over problems, 1,000 resamples
};
// InvalidArgument: one class alone.
absl::StatusOr<AurocEstimate> EstimateAuroc(const HeldOutScores& held_out, uint64_t seed);

}  // namespace evilmoe
