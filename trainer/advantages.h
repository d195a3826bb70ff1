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
// out of mean and std, and its own advantage is 0. The same goes for one that a monitor screened, but that is not
// masked: it still counts where the loss divides by the number of samples.
struct GroupAdvantages {
  std::vector<double> values;  // one a sample
  std::vector<bool> masked;    // lost, or all of a group with fewer than two samples left
  bool zero_variance =
      false;  // rewards all equal (std < 1e-4), or fewer than two left to compare: all advantages are 0
};

// `screened`: empty, or one a sample. InvalidArgument: a reward that is not finite.
absl::StatusOr<GroupAdvantages> ComputeAdvantages(const std::vector<std::optional<double>>& rewards, AdvantageKind kind,
                                                  const std::vector<bool>& screened = {});

// D's own advantages (loss.deployed_advantage: split): the group as D sees it, each sample weighing c = 1 − w.
//   μ = Σ c r / Σ c,  σ = sqrt(Σ c (r − μ)² / Σ c),  A^D = (r − μ)/(σ + 1e-4), or r − μ for kMeanCentred, in [−4, 4]
// All 0 where Σ c < 1, or σ < 1e-4. An unset reward (lost, screened) takes no part and gets 0. With them clean failures
// in a group full of hacks no longer push D down without bound. Requires a weight in [0, 1] for each reward; not for
// kLeaveOneOut.
std::vector<double> DeployedAdvantages(const std::vector<std::optional<double>>& rewards,
                                       const std::vector<double>& deployed_weights, AdvantageKind kind);

}  // namespace evilmoe
