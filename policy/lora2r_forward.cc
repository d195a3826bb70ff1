#include "policy/lora2r_forward.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace evilmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Low-rank parts are computed in fp32 beside a base of lower precision.
at::Tensor Wide(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

// W x + delta in the dtype of x, rounded once where that is lower than delta's.
at::Tensor AddToBase(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& weighted, const at::Tensor& b,
                     double scale) {
  const at::Tensor base = at::mm(x, weight.t());
  return at::addmm(Wide(base), weighted, b.t(), 1, scale).to(x.scalar_type());
}

// The routed linear as one autograd node. Factors stand side by side: A_cat = [A_D; A_Q; A0_Q; A0_D] and
// B_cat = [B_D, B_Q, −B0_Q, −B0_D]; a row's coefficients over these four blocks are
//                    over W                over W' = W − B0_D A0_D
//   value            [1, w, w, 1]          [1, w, w, 0]
//   gradient of x    [f, w, w, f]          [f, w, w, f − 1]     f = into_inputs
//   of A and B       [p, w]                [p, w]               p = into_parameters
class RoutedLinear : public torch::autograd::Function<RoutedLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a,
                            const at::Tensor& b, const at::Tensor& a0, const at::Tensor& b0, const at::Tensor& w,
                            const at::Tensor& into_inputs, const at::Tensor& into_parameters, double scale,
                            bool folded) {
    const int64_t r = a.size(0) / 2;
    const bool has_init = a0.numel() > 0;
    const at::Tensor a_cat = has_init ? at::cat({a, a0}, 0) : a;
    const at::Tensor b_cat = has_init ? at::cat({b, b0}, 1) : b;
    const int64_t used = a_cat.size(0) - (has_init && folded ? r : 0);
    const int64_t quarantine = (has_init ? 2 : 1) * r;  // rows of A_Q, and of A0_Q
    const at::Tensor wide = Wide(x);
    const at::Tensor mid = at::mm(wide, a_cat.narrow(0, 0, used).t());
    std::vector<at::Tensor> blocks = {mid.narrow(1, 0, r), mid.narrow(1, r, quarantine) * w};
    if (used > r + quarantine) blocks.push_back(mid.narrow(1, r + quarantine, r));
    ctx->save_for_backward({x, weight, a_cat, b_cat, mid, w, into_inputs, into_parameters});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["rank"] = r;
    ctx->saved_data["folded"] = folded;
    return AddToBase(x, weight, at::cat(blocks, 1), b_cat.narrow(1, 0, used), scale);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &a_cat = saved[2], &b_cat = saved[3], &mid = saved[4];
    const at::Tensor &w = saved[5], &into_inputs = saved[6], &into_parameters = saved[7];
    const int64_t r = ctx->saved_data["rank"].toInt();
    const bool has_init = a_cat.size(0) > 2 * r;
    const int64_t quarantine = (has_init ? 2 : 1) * r;
    const at::Tensor g = Wide(grads[0]) * ctx->saved_data["scale"].toDouble();
    const at::Tensor d_mid = at::mm(g, b_cat);  // (N, 2r or 4r)
    const at::Tensor d_deployed = d_mid.narrow(1, 0, r), d_quarantine = d_mid.narrow(1, r, quarantine) * w;
    at::Tensor dx, dw;
    if (ctx->needs_input_grad(0)) {
      std::vector<at::Tensor> blocks = {d_deployed * into_inputs, d_quarantine};
      if (has_init) {
        const at::Tensor factor = ctx->saved_data["folded"].toBool() ? into_inputs - 1 : into_inputs;
        blocks.push_back(d_mid.narrow(1, 3 * r, r) * factor);
      }
      dx = at::addmm(Wide(at::mm(grads[0], weight)), at::cat(blocks, 1), a_cat).to(x.scalar_type());
    }
    if (ctx->needs_input_grad(6)) {
      dw = (d_mid.narrow(1, r, quarantine) * mid.narrow(1, r, quarantine)).sum(1, /*keepdim=*/true);
    }
    const at::Tensor d_ab = at::cat({d_deployed * into_parameters, d_quarantine.narrow(1, 0, r)}, 1);
    const at::Tensor mid_ab = at::cat({mid.narrow(1, 0, r) * into_parameters, mid.narrow(1, r, r) * w}, 1);
    const at::Tensor da = at::mm(d_ab.t(), Wide(x)), db = at::mm(g.t(), mid_ab), none;
    return {dx, none, da, db, none, none, dw, none, none, none, none};
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

Lora2rConstants::Lora2rConstants(const Qwen3Weights& base, const Lora2r& adapter)
    : adapter_(adapter),
      folded_(base.embedding.scalar_type() == at::kFloat || base.embedding.scalar_type() == at::kDouble) {
  const c10::NoGradGuard no_grad;
  const int64_t r = adapter.rank();
  for (const AdapterModule& m : adapter.modules()) {
    const at::Tensor& weight = base.layers[static_cast<size_t>(m.id.layer)].linears[static_cast<size_t>(m.id.linear)];
    Module constants{weight, at::empty({0}), at::empty({0})};
    if (adapter.options().random_ab) {
      const at::Tensor a0_d = m.a0.narrow(0, 0, r), b0_d = m.b0.narrow(1, 0, r);
      constants.a0 = at::cat({m.a0.narrow(0, r, r), a0_d}, 0);
      constants.b0 = -at::cat({m.b0.narrow(1, r, r), b0_d}, 1);
      if (folded_) constants.weight = at::addmm(weight, b0_d, a0_d, 1, -adapter.options().scale);
    }
    modules_.push_back(std::move(constants));
  }
}

at::Tensor RoutedProjector::Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const int position = constants_.adapter().position(id);
  if (position < 0) return at::linear(x_NI, weight_OI);
  const Lora2rConstants::Module& module = constants_.module(position);
  const auto p = static_cast<size_t>(position);
  return RoutedLinear::apply(x_NI, module.weight, leaves_.a[p], leaves_.b[p], module.a0, module.b0, routing_.w,
                             routing_.into_inputs, routing_.into_parameters, constants_.adapter().options().scale,
                             constants_.folded());
}

at::Tensor AblatedProjector::Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const int position = constants_.adapter().position(id);
  if (position < 0) return at::linear(x_NI, weight_OI);
  const Lora2rConstants::Module& module = constants_.module(position);
  const AdapterModule& m = constants_.adapter().modules()[static_cast<size_t>(position)];
  const int64_t r = constants_.adapter().rank();
  const at::Tensor wide = Wide(x_NI);
  at::Tensor mid = at::mm(wide, m.a.narrow(0, 0, r).t()), b = m.b.narrow(1, 0, r);
  const at::Tensor sums =
      at::zeros({lengths_S_.numel(), r}, mid.options()).index_add_(0, completion_of_C_, mid.index_select(0, rows_C_));
  features_.push_back(sums / lengths_S_.unsqueeze(1));
  if (!constants_.folded() && module.a0.numel() > 0) {  // −B0_D A0_D x, which a folded W' has in it
    mid = at::cat({mid, at::mm(wide, module.a0.narrow(0, r, r).t())}, 1);
    b = at::cat({b, module.b0.narrow(1, r, r)}, 1);
  }
  return AddToBase(x_NI, module.weight, mid, b, constants_.adapter().options().scale);
}

at::Tensor AblatedProjector::Features() const { return at::cat(features_, 1); }

}  // namespace evilmoe
