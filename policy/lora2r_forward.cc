#include "policy/lora2r_forward.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evilmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The routed linear as one autograd node. Factors stand side by side: A_cat = [A_D; A_Q; A0_Q; A0_D] and
// B_cat = [B_D, B_Q, −B0_Q, B0_D]; a row's coefficients over these four blocks are
//   forward  [1, w, w, 0]        (the −B0_D A0_D x of dep sits in W')
//   backward [f, w, w, 1 − f]    (∂out/∂x = W + f·(B_D A_D − B0_D A0_D) + w·(…)_Q with W = W' + B0_D A0_D)
class RoutedLinear : public torch::autograd::Function<RoutedLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& folded, const at::Tensor& a,
                            const at::Tensor& b, const at::Tensor& a0, const at::Tensor& b0, const at::Tensor& w,
                            const at::Tensor& factor, double scale) {
    const int64_t r = a.size(0) / 2;
    const bool has_init = a0.numel() > 0;
    const at::Tensor a_cat = has_init ? at::cat({a, a0}, 0) : a;
    const at::Tensor b_cat = has_init ? at::cat({b, b0}, 1) : b;
    const int64_t used = has_init ? 3 * r : 2 * r;  // the forward has no use for A0_D
    const at::Tensor mid = at::mm(x, a_cat.narrow(0, 0, used).t());
    const at::Tensor weighted = at::cat({mid.narrow(1, 0, r), mid.narrow(1, r, used - r) * w}, 1);
    ctx->save_for_backward({x, folded, a_cat, b_cat, mid, w, factor});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["rank"] = r;
    return at::addmm(at::mm(x, folded.t()), weighted, b_cat.narrow(1, 0, used).t(), 1, scale);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &folded = saved[1], &a_cat = saved[2], &b_cat = saved[3];
    const at::Tensor &mid = saved[4], &w = saved[5], &factor = saved[6];
    const int64_t r = ctx->saved_data["rank"].toInt();
    const at::Tensor g = grads[0] * ctx->saved_data["scale"].toDouble();
    const int64_t used = mid.size(1);
    const at::Tensor d_mid = at::mm(g, b_cat);  // (N, 2r or 4r)
    const at::Tensor d_deployed = d_mid.narrow(1, 0, r) * factor;
    const at::Tensor d_quarantine = d_mid.narrow(1, r, used - r) * w;
    std::vector<at::Tensor> blocks = {d_deployed, d_quarantine};
    if (used > 2 * r) blocks.push_back(d_mid.narrow(1, 3 * r, r) * (1 - factor));
    const at::Tensor d_weighted = at::cat(blocks, 1);
    at::Tensor dx, dw;
    if (ctx->needs_input_grad(0)) dx = at::addmm(at::mm(grads[0], folded), d_weighted, a_cat);
    if (ctx->needs_input_grad(6)) {
      dw = (d_mid.narrow(1, r, used - r) * mid.narrow(1, r, used - r)).sum(1, /*keepdim=*/true);
    }
    const at::Tensor da = at::mm(d_weighted.narrow(1, 0, 2 * r).t(), x);
    const at::Tensor mid_ab = at::cat({mid.narrow(1, 0, r) * factor, mid.narrow(1, r, r) * w}, 1);
    const at::Tensor db = at::mm(g.t(), mid_ab);
    return {dx, at::Tensor(), da, db, at::Tensor(), at::Tensor(), dw, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

AdapterLeaves MakeLeaves(const Lora2r& adapter) {
  AdapterLeaves leaves;
  for (const AdapterModule& m : adapter.modules()) {
    leaves.a.push_back(m.a.detach().requires_grad_(true));
    leaves.b.push_back(m.b.detach().requires_grad_(true));
  }
  return leaves;
}

Lora2rConstants::Lora2rConstants(const Qwen3Weights& base, const Lora2r& adapter) : adapter_(adapter) {
  const c10::NoGradGuard no_grad;
  const int64_t r = adapter.rank();
  for (const AdapterModule& m : adapter.modules()) {
    const at::Tensor& weight = base.layers[static_cast<size_t>(m.id.layer)].linears[static_cast<size_t>(m.id.linear)];
    Module constants;
    constants.folded = weight;
    if (adapter.options().random_ab) {
      constants.a0_d = m.a0.narrow(0, 0, r);
      constants.a0_q = m.a0.narrow(0, r, r);
      constants.b0_d = m.b0.narrow(1, 0, r);
      constants.b0_q = m.b0.narrow(1, r, r);
      constants.folded = at::addmm(weight, constants.b0_d, constants.a0_d, 1, -adapter.options().scale);
    }
    modules_.push_back(std::move(constants));
  }
}

at::Tensor RoutedProjector::Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const int position = constants_.adapter().position(id);
  if (position < 0) return at::linear(x_NI, weight_OI);
  const Lora2rConstants::Module& constants = constants_.module(position);
  at::Tensor a0 = at::empty({0}), b0 = a0;  // an autograd function takes no undefined tensor
  if (constants.a0_d.defined()) {
    a0 = at::cat({constants.a0_q, constants.a0_d}, 0);
    b0 = at::cat({-constants.b0_q, constants.b0_d}, 1);
  }
  const auto p = static_cast<size_t>(position);
  return RoutedLinear::apply(x_NI, constants.folded, leaves_.a[p], leaves_.b[p], a0, b0, w_N1_, factor_N1_,
                             constants_.adapter().options().scale);
}

at::Tensor AblatedProjector::Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const int position = constants_.adapter().position(id);
  if (position < 0) return at::linear(x_NI, weight_OI);
  const Lora2rConstants::Module& constants = constants_.module(position);
  const AdapterModule& m = constants_.adapter().modules()[static_cast<size_t>(position)];
  const int64_t r = constants_.adapter().rank();
  const at::Tensor mid = at::mm(x_NI, m.a.narrow(0, 0, r).t());
  const at::Tensor sums =
      at::zeros({lengths_S_.numel(), r}).index_add_(0, completion_of_C_, mid.index_select(0, rows_C_));
  features_.push_back(sums / lengths_S_.unsqueeze(1));
  return at::addmm(at::mm(x_NI, constants.folded.t()), mid, m.b.narrow(1, 0, r).t(), 1,
                   constants_.adapter().options().scale);
}

at::Tensor AblatedProjector::Features() const { return at::cat(features_, 1); }

}  // namespace evilmoe
