#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "policy/routing.h"
#include "trainer/policy_batch.h"

namespace evilmoe {

// Rollouts whose passes `verify` compares: prompts with completions of one or more tokens each.
struct KnownRollouts {
  struct Group {
    std::vector<int32_t> prompt;
    std::vector<std::vector<int32_t>> completions;
  };
  std::vector<Group> groups;

  int64_t num_completions() const;
  int64_t num_tokens() const;  // of completions
  // The groups stay here: they must outlive the batch.
  PolicyBatch Batch() const;
  // One completion, with its prompt, in order of group and completion.
  KnownRollouts Only(int64_t completion) const;
};

// Forwards and differentiates as a training step does, under a loss that is easy to know: Σ of fixed coefficients times
// the completions' log-probabilities. Legend: S completions, C their rows. All functions throw c10::Error.
struct RoutedPass {
  at::Tensor logp_C;
  std::vector<at::Tensor> deployed, quarantine;  // gradients of A and B, module by module; 0 where none arrived
  at::Tensor dl_dw_S;
};
// whole_prompt: the prompt runs with both experts, as without routing; otherwise at w = 0.
RoutedPass RunRouted(const Qwen3Weights& base, const Lora2r& adapter, const KnownRollouts& rollouts,
                     const at::Tensor& w_S, bool whole_prompt = false);
// Values alone, at a temperature.
at::Tensor RoutedLogProbs(const Qwen3Weights& base, const Lora2r& adapter, const PolicyBatch& batch,
                          const at::Tensor& w_S, bool whole_prompt, double temperature);
// Σ_c coefficient(c) · logp_c, over all rows of a batch in order.
at::Tensor KnownLoss(const at::Tensor& logp_C);

// Moves one expert's A and B by noise, as training would; about a tenth of their size at the init.
enum class Expert { kDeployed, kQuarantine };
void Perturb(const Lora2r& adapter, Expert expert, uint64_t seed);
// One expert's rows of A, or columns of B.
at::Tensor PartOfA(const at::Tensor& a, Expert expert);
at::Tensor PartOfB(const at::Tensor& b, Expert expert);

// Largest |element| over all tensors.
double LargestOf(const std::vector<at::Tensor>& tensors);
double LargestDifference(const at::Tensor& a, const at::Tensor& b);

}  // namespace evilmoe
