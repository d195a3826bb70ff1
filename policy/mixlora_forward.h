#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "policy/mixlora.h"
#include "policy/qwen3.h"

namespace evilmoe {

// The load is balanced within each of a batch's groups of rows, so that it makes no difference which groups are
// forwarded together.
struct BalanceGroups {
  at::Tensor group_N;  // int64: group of each row; undefined: all rows are one group
  int64_t count = 1;
};

// The network with MixLoRA's experts. For a token x with router probabilities p = softmax(R x) and its top_k experts,
// renormalised to g:  out = Σ_e g_e · E_e(x). The experts share what the base computes: its gate and up maps run once
// a token and, the down map being linear, once on the weighted sum of the experts' activations; the low-rank parts run
// on the tokens of their expert alone.
class MixLoraProjector final : public Projector {
 public:
  // `balance_gradient`: factor on the gradient of the load-balance loss (α, times the share of one group in a step),
  // which the backward pass through the network adds to the routers', exactly once with and without recompute_layers.
  // 0: none. `leaves` must outlive this.
  MixLoraProjector(const MixLora& leaves, double balance_gradient, BalanceGroups groups = {});

  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;
  at::Tensor Mlp(int layer, const at::Tensor& x_NH, const LayerWeights& weights) override;

  // Σ over groups and layers of E · Σ_e f_e · P_e, after a forward: f_e = share of the group's dispatches, top_k a row,
  // that went to expert e (no gradient flows through it), P_e = mean of p_e over its rows (Fedus et al. 2022, eq. 4). A
  // layer in perfect balance gives 1, one expert for everything E.
  double BalanceLoss() const;
  // (L, E): dispatches of the whole batch, after a forward.
  const std::vector<std::vector<int64_t>>& dispatches() const { return dispatches_; }

 private:
  const MixLora& leaves_;
  const double balance_gradient_;
  const BalanceGroups groups_;
  std::vector<double> balance_;                   // of each layer
  std::vector<std::vector<int64_t>> dispatches_;  // of each layer
};

}  // namespace evilmoe
