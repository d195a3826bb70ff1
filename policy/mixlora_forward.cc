#include "policy/mixlora_forward.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

namespace evilmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// y, whose backward pass also starts that of factor · loss. It makes the loss part of the layer, so that a recomputed
// layer adds it once, in the pass that has a graph.
class WithLossGradient : public torch::autograd::Function<WithLossGradient> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& y, const at::Tensor& loss, double factor) {
    ctx->saved_data["factor"] = factor;
    ctx->saved_data["options"] = at::empty({0}, loss.options());
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor like = ctx->saved_data["options"].toTensor();
    return {grads[0], at::full({}, ctx->saved_data["factor"].toDouble(), like.options()), at::Tensor()};
  }
};

// The low-rank parts run in fp32 beside a base of lower precision.
at::Tensor Wide(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

at::Tensor LowRank(const at::Tensor& x, const at::Tensor& a, const at::Tensor& b, double scale) {
  return at::mm(at::mm(x, a.t()), b.t()) * scale;
}

// Tokens in order of the expert that they go to; a token appears once for each of its experts.
struct Dispatch {
  std::vector<int64_t> counts;  // of each expert; sum N · k
  at::Tensor expert_NK;
  at::Tensor token_M;  // M = N · k
  at::Tensor gate_M1;  // g of each
  at::Tensor probs_NE;
};

Dispatch Route(const at::Tensor& x_NH, const at::Tensor& router_EH, int top_k) {
  Dispatch d;
  d.probs_NE = at::softmax(at::mm(x_NH, router_EH.t()), -1);
  at::Tensor top_NK;
  std::tie(top_NK, d.expert_NK) = at::topk(d.probs_NE, top_k, -1);
  const at::Tensor gate_NK = top_NK / top_NK.sum(-1, /*keepdim=*/true);
  const auto [expert_M, order_M] = at::sort(d.expert_NK.reshape({-1}), /*stable=*/std::optional<bool>(true), /*dim=*/0);
  d.token_M = at::floor_divide(order_M, top_k);
  d.gate_M1 = gate_NK.reshape({-1}).index_select(0, order_M).unsqueeze(1);
  const at::Tensor counts = at::bincount(expert_M, {}, router_EH.size(0)).cpu();
  d.counts.assign(counts.const_data_ptr<int64_t>(), counts.const_data_ptr<int64_t>() + counts.numel());
  return d;
}

// Σ over groups of E · Σ_e f_e · P_e.
at::Tensor BalanceLossOf(const Dispatch& d, const BalanceGroups& groups) {
  const int64_t experts = d.probs_NE.size(1), top_k = d.expert_NK.size(1);
  const at::Tensor group_N =
      groups.group_N.defined() ? groups.group_N : at::zeros({d.probs_NE.size(0)}, d.expert_NK.options());
  const at::Tensor place_M = (group_N.unsqueeze(1) * experts + d.expert_NK).reshape({-1});
  const at::Tensor counts_GE = at::bincount(place_M, {}, groups.count * experts).view({groups.count, experts});
  const at::Tensor dispatches_G1 = counts_GE.sum(1, /*keepdim=*/true).clamp_min(1).to(d.probs_NE.scalar_type());
  const at::Tensor probs_GE =
      at::zeros({groups.count, experts}, d.probs_NE.options()).index_add(0, group_N, d.probs_NE);
  // counts / (rows · k) times sums / rows, with rows = dispatches / k
  const at::Tensor shares_GE = counts_GE.to(d.probs_NE.scalar_type()) / dispatches_G1;
  return (shares_GE * (probs_GE / dispatches_G1)).sum() * static_cast<double>(experts * top_k);
}

class ExpertMlp {
 public:
  ExpertMlp(const MixLoraLayer& adapter, const LayerWeights& weights, double scale)
      : adapter_(adapter), weights_(weights), scale_(scale) {}

  at::Tensor Run(const at::Tensor& x_NH, const at::Tensor& wide_NH, const Dispatch& dispatch) const {
    const at::Tensor gate_NF = Wide(at::linear(x_NH, Weight(Linear::kGate)));
    const at::Tensor up_NF = Wide(at::linear(x_NH, Weight(Linear::kUp)));
    at::Tensor mixed_NF = at::zeros_like(gate_NF);
    at::Tensor low_NH = at::zeros_like(wide_NH);
    int64_t begin = 0;
    for (size_t e = 0; e < dispatch.counts.size(); begin += dispatch.counts[e++]) {
      if (dispatch.counts[e] == 0) continue;
      const auto expert = static_cast<int64_t>(e);
      const at::Tensor token = dispatch.token_M.narrow(0, begin, dispatch.counts[e]);
      const at::Tensor x = wide_NH.index_select(0, token);
      const at::Tensor gate = Adapted(Linear::kGate, expert, gate_NF.index_select(0, token), x);
      const at::Tensor up = Adapted(Linear::kUp, expert, up_NF.index_select(0, token), x);
      const at::Tensor hidden = at::silu(gate) * up * dispatch.gate_M1.narrow(0, begin, dispatch.counts[e]);
      mixed_NF.index_add_(0, token, hidden);
      const LoraPair& down = Lora(Linear::kDown);
      if (down.a.defined()) low_NH.index_add_(0, token, LowRank(hidden, down.a[expert], down.b[expert], scale_));
    }
    const at::Tensor base = at::linear(mixed_NF.to(x_NH.scalar_type()), Weight(Linear::kDown));
    return Lora(Linear::kDown).a.defined() ? (Wide(base) + low_NH).to(x_NH.scalar_type()) : base;
  }

 private:
  const at::Tensor& Weight(Linear linear) const { return weights_.linears[static_cast<size_t>(linear)]; }
  const LoraPair& Lora(Linear linear) const { return adapter_.loras[static_cast<size_t>(linear)]; }

  at::Tensor Adapted(Linear linear, int64_t expert, const at::Tensor& base, const at::Tensor& x) const {
    const LoraPair& lora = Lora(linear);
    return lora.a.defined() ? base + LowRank(x, lora.a[expert], lora.b[expert], scale_) : base;
  }

  const MixLoraLayer& adapter_;
  const LayerWeights& weights_;
  const double scale_;
};

}  // namespace

MixLoraProjector::MixLoraProjector(const MixLora& leaves, double balance_gradient, BalanceGroups groups)
    : leaves_(leaves),
      balance_gradient_(balance_gradient),
      groups_(std::move(groups)),
      balance_(leaves.layers().size(), 0.0),
      dispatches_(leaves.layers().size()) {}

at::Tensor MixLoraProjector::Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const LoraPair& lora = leaves_.layers()[static_cast<size_t>(module.layer)].loras[static_cast<size_t>(module.linear)];
  const at::Tensor base = at::linear(x_NI, weight_OI);
  if (!lora.a.defined()) return base;
  return (Wide(base) + LowRank(Wide(x_NI), lora.a, lora.b, leaves_.options().scale)).to(x_NI.scalar_type());
}

at::Tensor MixLoraProjector::Mlp(int layer, const at::Tensor& x_NH, const LayerWeights& weights) {
  const auto index = static_cast<size_t>(layer);
  const MixLoraLayer& adapter = leaves_.layers()[index];
  const at::Tensor wide = Wide(x_NH);
  const Dispatch dispatch = Route(wide, adapter.router, leaves_.options().top_k);
  const at::Tensor out = ExpertMlp(adapter, weights, leaves_.options().scale).Run(x_NH, wide, dispatch);
  const at::Tensor loss = BalanceLossOf(dispatch, groups_);
  dispatches_[index] = dispatch.counts;
  balance_[index] = loss.item<double>();
  return balance_gradient_ == 0 ? out : WithLossGradient::apply(out, loss, balance_gradient_);
}

double MixLoraProjector::BalanceLoss() const { return std::accumulate(balance_.begin(), balance_.end(), 0.0); }

}  // namespace evilmoe
