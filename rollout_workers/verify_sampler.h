#pragma once

#include <vector>

#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "rollout_workers/local_rollouts.h"
#include "rollout_workers/routed_pass.h"
#include "rollout_workers/verify_report.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"

namespace evilmoe {

// Whether the log-probabilities that the sampler records are those of the trainer's forward: `batch` is sampled with
// the whole adapter and with Q off, both experts of `adapter` moved off their init by noise.
void VerifySampler(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter, LocalRollouts& sampler,
                   const BatchRequest& batch, const FindingSink& found);

// The prompts of a batch with what was sampled for them.
KnownRollouts RolloutsOf(const BatchRequest& batch, const std::vector<GroupSamples>& samples);

}  // namespace evilmoe
