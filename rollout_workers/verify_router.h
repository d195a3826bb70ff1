#pragma once

#include <vector>

#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "rollout_workers/verify_report.h"
#include "trainer/run_config.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// The invariants of a learned router and its pin on a run's contrastive pairs (algorithm.md §6, 8): for arms whose
// routing.mode is `learned`. `adapter` is at its init and left as it is.
void VerifyRouter(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter,
                  const std::vector<PairIds>& pairs, const FindingSink& found);

}  // namespace evilmoe
