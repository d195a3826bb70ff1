#include "policy/lora2r_forward.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <tuple>

#include "policy/fused/low_rank_linear.h"

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

// B A − B0 A0 = B (A − A0) + (B − B0) A0: the right side is exactly 0 at the init and loses no small change to the
// rounding of large products. Rows of `a` and columns of `b` are the two terms one after the other, each D before Q;
// with B0 = 0 (a0 and b0 without elements) one term, B A, is enough.
struct Factors {
  at::Tensor a;  // (2r or 4r, in)
  at::Tensor b;  // (out, 2r or 4r)
};
Factors Stack(const at::Tensor& a, const at::Tensor& b, const at::Tensor& a0, const at::Tensor& b0) {
  if (a0.numel() == 0) return {a, b};
  return {at::cat({a - a0, a0}, 0), at::cat({b, b - b0}, 1)};
}

// Those of D alone: r or 2r rows.
Factors DeployedFactors(const Lora2r& adapter, size_t position) {
  const AdapterModule& m = adapter.modules()[position];
  const int64_t r = adapter.rank();
  const bool subtracts_init = adapter.options().random_ab;
  const at::Tensor none = at::empty({0});
  return Stack(m.a.narrow(0, 0, r), m.b.narrow(1, 0, r), subtracts_init ? m.a0.narrow(0, 0, r) : none,
               subtracts_init ? m.b0.narrow(1, 0, r) : none);
}

// (N, k·2r) as (N, k, 2, r): terms, then experts.
at::Tensor ByExpert(const at::Tensor& mid, int64_t r) { return mid.unflatten(1, {-1, 2, r}); }
// Columns of D times `deployed`, of Q times `quarantine`, (N, 1) each.
at::Tensor Weighted(const at::Tensor& mid, int64_t r, const at::Tensor& deployed, const at::Tensor& quarantine) {
  const at::Tensor coefficients = at::cat({deployed, quarantine}, 1).unsqueeze(1).unsqueeze(3);
  return (ByExpert(mid, r) * coefficients).flatten(1);
}

// The routed linear as one autograd node. What each expert's part is multiplied with:
//                        D                    Q
//   value                1                    w
//   gradient of x        into_inputs          w
//   gradient of A, B     into_parameters      w
class RoutedLinear : public torch::autograd::Function<RoutedLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& a,
                            const at::Tensor& b, const at::Tensor& a0, const at::Tensor& b0, const at::Tensor& w,
                            const at::Tensor& into_inputs, const at::Tensor& into_parameters, double scale) {
    const int64_t r = a.size(0) / 2;
    const Factors factors = Stack(a, b, a0, b0);
    const at::Tensor mid = at::mm(Wide(x), factors.a.t());
    ctx->save_for_backward({x, weight, factors.a, factors.b, mid, w, into_inputs, into_parameters});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["rank"] = r;
    return AddToBase(x, weight, Weighted(mid, r, at::ones_like(w), w), factors.b, scale);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mid = saved[4], &w = saved[5];
    const Factors factors{saved[2], saved[3]};
    const at::Tensor &into_inputs = saved[6], &into_parameters = saved[7];
    const int64_t r = ctx->saved_data["rank"].toInt();
    const at::Tensor g = Wide(grads[0]) * ctx->saved_data["scale"].toDouble();
    const at::Tensor d_mid = at::mm(g, factors.b);
    at::Tensor dx, dw;
    if (ctx->needs_input_grad(0)) {
      const at::Tensor low_rank = Weighted(d_mid, r, into_inputs, w);
      dx = at::addmm(Wide(at::mm(grads[0], weight)), low_rank, factors.a).to(x.scalar_type());
    }
    if (ctx->needs_input_grad(6)) {
      dw = (ByExpert(d_mid, r).select(2, 1) * ByExpert(mid, r).select(2, 1)).flatten(1).sum(1, /*keepdim=*/true);
    }
    // A x of both experts: the sum of (A − A0) x and A0 x.
    const at::Tensor a_x = ByExpert(mid, r).sum(1).flatten(1);
    const at::Tensor da = at::mm(Weighted(d_mid.narrow(1, 0, 2 * r), r, into_parameters, w).t(), Wide(x));
    const at::Tensor db = at::mm(g.t(), Weighted(a_x, r, into_parameters, w)), none;
    return {dx, none, da, db, none, none, dw, none, none, none};
  }
};

LowRankLinear FusedForm(const at::Tensor& x, const at::Tensor& weight, const Factors& factors, int64_t rank,
                        double scale) {
  return {.rows = x.size(0),
          .in = weight.size(1),
          .out = weight.size(0),
          .rank = rank,
          .scale = scale,
          .w_OI = weight.const_data_ptr<float>(),
          .a_KI = factors.a.const_data_ptr<float>(),
          .b_OK = factors.b.const_data_ptr<float>()};
}

// W x + the deployed part, and mid = x Aᵀ, (N, 2r) or (N, r).
std::pair<at::Tensor, at::Tensor> FusedAblatedLinear(const at::Tensor& x, const at::Tensor& weight,
                                                     const Factors& deployed, int64_t rank, double scale) {
  const Factors factors{deployed.a.contiguous(), deployed.b.contiguous()};
  LowRankLinear linear = FusedForm(x, weight, factors, rank, scale);
  linear.terms = factors.a.size(0) / rank;
  linear.quarantine = false;
  const at::Tensor y = at::empty({linear.rows, linear.out}, x.options());
  const at::Tensor mid = at::empty({linear.rows, linear.mid_stride()}, x.options());
  LowRankForward(linear, x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), mid.mutable_data_ptr<float>());
  return {y, mid.narrow(1, 0, linear.mid_columns())};
}

// RoutedLinear over the fused kernels: the same node in fp32.
class FusedRoutedLinear : public torch::autograd::Function<FusedRoutedLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& weight, const at::Tensor& a,
                            const at::Tensor& b, const at::Tensor& a0, const at::Tensor& b0, const at::Tensor& w_in,
                            const at::Tensor& into_inputs, const at::Tensor& into_parameters, double scale) {
    const int64_t r = a.size(0) / 2;
    const at::Tensor x = x_in.contiguous(), w = w_in.contiguous();
    Factors factors = Stack(a, b, a0, b0);
    factors = {factors.a.contiguous(), factors.b.contiguous()};
    LowRankLinear linear = FusedForm(x, weight, factors, r, scale);
    linear.terms = factors.a.size(0) / (2 * r);
    linear.w_N = w.const_data_ptr<float>();
    const at::Tensor y = at::empty({linear.rows, linear.out}, x.options());
    const at::Tensor mid = at::empty({linear.rows, linear.mid_stride()}, x.options());
    LowRankForward(linear, x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), mid.mutable_data_ptr<float>());
    ctx->save_for_backward(
        {x, weight, factors.a, factors.b, mid, w, into_inputs.contiguous(), into_parameters.contiguous()});
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["rank"] = r;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &mid = saved[4], &w = saved[5], g = grads[0].contiguous();
    const int64_t r = ctx->saved_data["rank"].toInt();
    LowRankLinear linear = FusedForm(x, saved[1], {saved[2], saved[3]}, r, ctx->saved_data["scale"].toDouble());
    linear.terms = saved[2].size(0) / (2 * r);
    linear.w_N = w.const_data_ptr<float>();
    at::Tensor dx, dw;
    if (ctx->needs_input_grad(0)) dx = at::empty_like(x);
    if (ctx->needs_input_grad(6)) dw = at::empty_like(w);
    const at::Tensor da = at::empty({2 * r, linear.in}, x.options());
    const at::Tensor db_transposed = at::empty({2 * r, linear.out}, x.options()), none;
    const DeployedGradientFactors deployed{saved[6].const_data_ptr<float>(), saved[7].const_data_ptr<float>()};
    LowRankBackward(linear, deployed, x.const_data_ptr<float>(), mid.const_data_ptr<float>(), g.const_data_ptr<float>(),
                    {.dx_NI = dx.defined() ? dx.mutable_data_ptr<float>() : nullptr,
                     .da = da.mutable_data_ptr<float>(),
                     .db_transposed = db_transposed.mutable_data_ptr<float>(),
                     .dw_N = dw.defined() ? dw.mutable_data_ptr<float>() : nullptr});
    return {dx, none, da, db_transposed.t(), none, none, dw, none, none, none};
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

at::Tensor RoutedProjector::Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const int position = adapter_.position(id);
  if (position < 0) return at::linear(x_NI, weight_OI);
  const auto p = static_cast<size_t>(position);
  const AdapterModule& m = adapter_.modules()[p];
  const bool subtracts_init = adapter_.options().random_ab;
  const at::Tensor unused = at::empty({0});
  const auto run = [&](auto function) {
    return decltype(function)::apply(x_NI, weight_OI, leaves_.a[p], leaves_.b[p], subtracts_init ? m.a0 : unused,
                                     subtracts_init ? m.b0 : unused, routing_.w, routing_.into_inputs,
                                     routing_.into_parameters, adapter_.options().scale);
  };
  const bool fused = kernels() == NetworkKernels::kFused && FusedLinearFits(x_NI, weight_OI) &&
                     IsPlainFloat(leaves_.a[p]) && IsPlainFloat(routing_.w);
  return fused ? run(FusedRoutedLinear()) : run(RoutedLinear());
}

at::Tensor AblatedProjector::Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const int position = adapter_.position(id);
  if (position < 0) return at::linear(x_NI, weight_OI);
  const int64_t r = adapter_.rank();
  const AdapterModule& m = adapter_.modules()[static_cast<size_t>(position)];
  const Factors deployed = DeployedFactors(adapter_, static_cast<size_t>(position));
  const double scale = adapter_.options().scale;
  at::Tensor y, mid;
  if (kernels() == NetworkKernels::kFused && FusedLinearFits(x_NI, weight_OI) && IsPlainFloat(m.a)) {
    std::tie(y, mid) = FusedAblatedLinear(x_NI.contiguous(), weight_OI, deployed, r, scale);
  } else {
    mid = at::mm(Wide(x_NI), deployed.a.t());
    y = AddToBase(x_NI, weight_OI, mid, deployed.b, scale);
  }
  const at::Tensor a_x = mid.unflatten(1, {-1, r}).sum(1);
  const at::Tensor sums =
      at::zeros({lengths_S_.numel(), r}, a_x.options()).index_add_(0, completion_of_C_, a_x.index_select(0, rows_C_));
  features_[static_cast<size_t>(position)] = sums / lengths_S_.unsqueeze(1);
  return y;
}

at::Tensor AblatedProjector::Features() const { return at::cat(features_, 1); }

GradientProbeProjector::GradientProbeProjector(const Lora2r& adapter, at::Tensor owner_N, int64_t num_rollouts)
    : adapter_(adapter), owner_N_(std::move(owner_N)) {
  for (const AdapterModule& m : adapter.modules()) {
    probes_.push_back(at::zeros({num_rollouts, adapter.rank()}, m.a.options()).requires_grad_(true));
  }
}

at::Tensor GradientProbeProjector::Project(ModuleId id, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const int position = adapter_.position(id);
  if (position < 0) return at::linear(x_NI, weight_OI);
  const int64_t r = adapter_.rank();
  const Factors deployed = DeployedFactors(adapter_, static_cast<size_t>(position));
  const at::Tensor& probe = probes_[static_cast<size_t>(position)];
  const at::Tensor probe_Nr = at::cat({probe, at::zeros({1, r}, probe.options())}).index_select(0, owner_N_);
  const at::Tensor mid = at::mm(Wide(x_NI), deployed.a.t());
  // The first r columns are multiplied with B_D.
  const at::Tensor probed = at::cat({mid.narrow(1, 0, r) + probe_Nr, mid.narrow(1, r, mid.size(1) - r)}, 1);
  return AddToBase(x_NI, weight_OI, probed, deployed.b, adapter_.options().scale);
}

at::Tensor GradientProbeProjector::Features() const {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& probe : probes_) {
    gradients.push_back(probe.grad().defined() ? probe.grad() : at::zeros_like(probe));
  }
  return at::cat(gradients, 1);
}

}  // namespace evilmoe
