#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "trainer/advantages.h"
#include "trainer/run_config.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// The loss of a step from log-probabilities; LossConfig says which of each. Pure, in the dtype of logp_C.
//
//   L = Σ_t weight_t · (−kept · gain_t + kl_coefficient · kl_t)
//
// ρ       same_forward: π_w / π_old with π_old the policy of the sample's first forward in the step: 1 in value in the
//         first inner step, with the gradient of log π_w (Shao et al. 2024, GRPO).
//         sampler: its value is q = π_w / π_sampler, or is_cap where q is more, and its gradient that value times the
//         gradient of log π_w: the cap bounds a token's pull and does not end it (Ionides 2008, truncated importance
//         sampling).
// gain    min(ρA, clip(ρ, 1 − clip_low, 1 + clip_high)·A) (Schulman et al. 2017, PPO; two ends: Yu et al. 2025, DAPO);
//         with dual_clip c, no less than c·A where A < 0 (Ye et al. 2020).
// kept    0 for a sample whose exp(mean_t log q), the sequence ratio of Zheng et al. 2025 (GSPO), lies outside [1/m, m]
//         with m = sequence_mask_above; else 1. It still counts where the loss divides, and its KL term stays.
// kl      with Δ = log π_base − log π_w: k1 = −Δ, k2 = Δ²/2, k3 = e^Δ − Δ − 1 (Schulman 2020), differentiated as they
//         stand. On policy the gradient of k1 has mean 0, that of k2 is the gradient of KL(π_w ‖ π_base) in the mean.
// weight  sequence_mean: 1 / (tokens of the sample · samples of the step). token_mean (DAPO): 1 / tokens of the step.
//         constant (Liu et al. 2025, Dr. GRPO): 1 / (prompts · group_size · max_completion_tokens).
//
// Legend: C completion rows (tokens) of a part of the step, S its samples.
struct LossRows {
  at::Tensor logp_C;           // of π_w, with its gradient
  at::Tensor sampler_logp_C;   // recorded while sampling
  at::Tensor base_logp_C;      // of the model without its adapter
  at::Tensor old_logp_C;       // of the first inner step; undefined in it
  at::Tensor advantage_S;      // in logp's dtype, as the two above
  at::Tensor completion_of_C;  // int64: the row's sample
  at::Tensor lengths_S;        // rows of each sample, in any floating dtype
};

// What the reductions divide by: of the whole minibatch (by default the step), so that the losses of its parts add up.
struct LossTotals {
  double samples = 0;   // neither masked nor left out; those of skipped groups too
  double tokens = 0;    // of these
  double capacity = 0;  // the most tokens that a step can have
  double groups = 0;    // that are forwarded for the loss: with a sample that is neither masked nor left out
};
LossTotals TotalsOf(const std::vector<TrainGroup>& groups, const RolloutConfig& rollout);

AdvantageKind AdvantageKindOf(const LossConfig& loss);

// No tensor but `loss` has a gradient.
struct PolicyLoss {
  at::Tensor loss;         // scalar
  at::Tensor kl_C;         // k3, whatever the loss uses
  at::Tensor ratio_C;      // q, before any cap
  at::Tensor clip_low_C;   // bool: q (from the second inner step of same_forward on: ρ) outside the clip range on the
                           // side that the advantage pushes to
  at::Tensor clip_high_C;  // bool
  int64_t masked_sequences = 0;
};

// Throws c10::Error (call it under TorchGuard).
PolicyLoss ComputePolicyLoss(const LossConfig& config, const LossRows& rows, const LossTotals& totals);

}  // namespace evilmoe
