#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

enum class AdvantageKind {
  kGroupNormalised,  // (r − mean) / (std + 1e-4), std with n − 1 (Shao et al. 2024, GRPO)
  kMeanCentred,      // r − mean (Liu et al. 2025, Dr. GRPO)
  kLeaveOneOut,      // r − mean of the others (Ahmadian et al. 2024, RLOO)
};

// Advantages of one group's samples. A sample that the infrastructure lost has no reward at all (nullopt): it is left
// out of mean and std, and its own advantage is 0. The same goes for one that a monitor screened, but that is not masked:
// it still counts where the loss divides by the number of samples.
struct GroupAdvantages {
  std::vector<double> values;  // one a sample
  std::vector<bool> masked;    // lost, or all of a group with fewer than two samples left
  bool zero_variance = false;  // rewards all equal (std < 1e-4), or fewer than two left to compare: all advantages are 0
};

// `screened`: empty, or one a sample. InvalidArgument: a reward that is not finite.
absl::StatusOr<GroupAdvantages> ComputeAdvantages(const std::vector<std::optional<double>>& rewards,
                                                  AdvantageKind kind, const std::vector<bool>& screened = {});

}  // namespace evilmoe
