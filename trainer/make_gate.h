#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "trainer/rollout_gate.h"
#include "trainer/run_config.h"

namespace evilmoe {

// The gate that routing.mode names. `pairs`: features of the kind that it reads, where NeedsPairs(config).
// num_features: M·r. FailedPrecondition: the pairs do not tell hack from clean.
absl::StatusOr<std::unique_ptr<RolloutGate>> MakeGate(const RunConfig& config, int64_t num_features,
                                                      const PairFeatures& pairs);

}  // namespace evilmoe
