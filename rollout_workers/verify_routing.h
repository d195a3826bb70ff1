#pragma once

#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "rollout_workers/routed_pass.h"
#include "rollout_workers/verify_report.h"

namespace evilmoe {

// The invariants of the two experts (algorithm.md §6, 1 to 7) on one network and its adapter at the init; training is
// stood for by noise. `adapter` is left as it is. A check that LibTorch cannot make is a finding.
void VerifyRouting(const Qwen3Weights& base, const Lora2r& adapter, const KnownRollouts& rollouts,
                   const FindingSink& found);

}  // namespace evilmoe
