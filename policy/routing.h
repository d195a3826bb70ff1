#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>

namespace evilmoe {

// How rollouts share a step between the deployed expert D and the quarantine Q (algorithm.md §1, §4). A layer's value
// is W x + dep + w · quar in every mode; the modes differ in what of the gradient reaches D. Q's gradient is always w
// of the whole, which makes it 0 where w is.
//
// Each tensor is fp32 with one number a rollout, (S), or one a packed row, (N, 1), in [0, 1].
struct Routing {
  at::Tensor w;  // of Q in the value; the only one that may require a gradient
  // Factors on the gradient that flows through dep into the layer's input, and into A_D, B_D.
  at::Tensor into_inputs;
  at::Tensor into_parameters;
};

// The learned router: D gets 1 − w of the gradient, or none of it where w > hard_detach_above (`evil_moe_hard`).
Routing RouteByWeight(const at::Tensor& w_S, std::optional<double> hard_detach_above = std::nullopt);

// Both experts on, both with the whole gradient: one adapter of rank 2r (`none`, `absorb`). w_S = 1.
Routing RouteToBoth(int64_t num_rollouts);

// What a fixed gate or an oracle says of one rollout.
enum class RolloutMask {
  kKeep,    // Q off, D trains
  kAbsorb,  // both on, both train
  kRout,    // both on, Q trains alone
};
// Where kRout stops D's gradient.
enum class MaskedGradient {
  kActivations,  // at dep: nothing flows through D, into its parameters or below (gradient routing, Cloud et al. 2024)
  kParameters,   // at A_D and B_D alone: lower layers see the whole gradient (SGTM, Shilov et al. 2025)
};
Routing RouteByMask(std::span<const RolloutMask> masks, MaskedGradient masked);

// Rows of a packed batch: row n has the numbers of rollout owner_N[n], or those of `elsewhere`, (1) each, where
// owner_N[n] is the number of rollouts (a shared prompt, padding). `w` stays differentiable. The
// rows are on owner_N's device, wherever the numbers were.
Routing RowsOf(const Routing& rollouts, const Routing& elsewhere, const at::Tensor& owner_N);

// A row outside of every completion: the prompt at w = 0, of which D has the whole gradient; with `whole_adapter` at
// w = 1 (arms without routing).
Routing PromptRouting(bool whole_adapter);

}  // namespace evilmoe
