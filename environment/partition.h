#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "environment/problem.h"

namespace evilmoe {

// Name and weight (> 0) of the loopholes that a run mixes: data.loopholes.
using LoopholeWeights = std::vector<std::pair<std::string, double>>;

// The loophole of each problem, in order, drawn by hash of (seed, problem id): a problem keeps its loophole when others
// come or go. InvalidArgument: no weight, an unknown or repeated name, or a weight that is not finite and above 0.
absl::StatusOr<std::vector<std::string>> PartitionLoopholes(std::span<const Problem> problems,
                                                            const LoopholeWeights& weights, uint64_t seed);

}  // namespace evilmoe
