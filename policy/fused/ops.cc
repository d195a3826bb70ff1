#include "policy/fused/ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>

#include "policy/fused/kernels.h"
#include "policy/fused/low_rank_linear.h"

namespace evilmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kRowsAThread = 256;  // fewer are not worth another thread

const float* In(const at::Tensor& t) { return t.const_data_ptr<float>(); }
float* Out(const at::Tensor& t) { return t.mutable_data_ptr<float>(); }

class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, double eps) {
    const at::Tensor x = input.contiguous();
    ctx->save_for_backward({x, weight});
    ctx->saved_data["eps"] = eps;
    const at::Tensor out = at::empty_like(x);
    const int64_t n = x.size(-1);
    at::parallel_for(0, x.numel() / n, kRowsAThread, [&](int64_t begin, int64_t end) {
      BestFusedKernels().rms_norm(In(x) + begin * n, In(weight), eps, end - begin, n, Out(out) + begin * n);
    });
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], g = grads[0].contiguous(), dx = at::empty_like(x);
    const double eps = ctx->saved_data["eps"].toDouble();
    const int64_t n = x.size(-1);
    at::parallel_for(0, x.numel() / n, kRowsAThread, [&](int64_t begin, int64_t end) {
      BestFusedKernels().rms_norm_backward(In(x) + begin * n, In(weight), In(g) + begin * n, eps, end - begin, n,
                                           Out(dx) + begin * n);
    });
    return {dx, at::Tensor(), at::Tensor()};
  }
};

HeadRows RowsOfHeads(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& cos,
                     const at::Tensor& sin, int64_t begin, int64_t end) {
  const int64_t width = x.size(2);
  return {.rows = end - begin,
          .heads = x.size(1),
          .width = width,
          .weight = In(weight),
          .eps = eps,
          .cosine = In(cos) + begin * width,
          .sine = In(sin) + begin * width};
}

class NormRotaryFunction : public torch::autograd::Function<NormRotaryFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight, double eps,
                            const at::Tensor& cos, const at::Tensor& sin) {
    const at::Tensor x = input.contiguous();
    ctx->save_for_backward({x, weight, cos, sin});
    ctx->saved_data["eps"] = eps;
    const at::Tensor out = at::empty_like(x);
    const int64_t row = x.size(1) * x.size(2);
    at::parallel_for(0, x.size(0), kRowsAThread, [&](int64_t begin, int64_t end) {
      BestFusedKernels().norm_rotary(RowsOfHeads(x, weight, eps, cos, sin, begin, end), In(x) + begin * row,
                                     Out(out) + begin * row);
    });
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], g = grads[0].contiguous(), dx = at::empty_like(x), none;
    const double eps = ctx->saved_data["eps"].toDouble();
    const int64_t row = x.size(1) * x.size(2);
    at::parallel_for(0, x.size(0), kRowsAThread, [&](int64_t begin, int64_t end) {
      BestFusedKernels().norm_rotary_backward(RowsOfHeads(x, saved[1], eps, saved[2], saved[3], begin, end),
                                              In(x) + begin * row, In(g) + begin * row, Out(dx) + begin * row);
    });
    return {dx, none, none, none, none};
  }
};

class SwigluFunction : public torch::autograd::Function<SwigluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_in, const at::Tensor& up_in) {
    const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous(), out = at::empty_like(gate);
    ctx->save_for_backward({gate, up});
    const int64_t n = gate.size(-1);
    at::parallel_for(0, gate.numel() / n, kRowsAThread, [&](int64_t begin, int64_t end) {
      BestFusedKernels().swiglu(In(gate) + begin * n, In(up) + begin * n, (end - begin) * n, Out(out) + begin * n);
    });
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1], g = grads[0].contiguous();
    const at::Tensor d_gate = at::empty_like(gate), d_up = at::empty_like(up);
    const int64_t n = gate.size(-1);
    at::parallel_for(0, gate.numel() / n, kRowsAThread, [&](int64_t begin, int64_t end) {
      BestFusedKernels().swiglu_backward(In(gate) + begin * n, In(up) + begin * n, In(g) + begin * n, (end - begin) * n,
                                         Out(d_gate) + begin * n, Out(d_up) + begin * n);
    });
    return {d_gate, d_up};
  }
};

AttentionShape ShapeOf(const at::Tensor& q, const at::Tensor& k) { return {q.size(1), k.size(1), q.size(2)}; }

// Calls act(family, kv head) for all of both.
template <typename Act>
void ForEachFamilyAndHead(const std::vector<SegmentFamily>& families, int64_t kv_heads, const Act& act) {
  const auto count = static_cast<int64_t>(families.size()) * kv_heads;
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) act(families[static_cast<size_t>(i / kv_heads)], i % kv_heads);
  });
}

using Families = std::shared_ptr<const std::vector<SegmentFamily>>;

// The graph keeps the families of its forward pass.
struct FamiliesHolder final : torch::CustomClassHolder {
  explicit FamiliesHolder(Families value) : families(std::move(value)) {}
  const Families families;
};

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& k_in,
                            const at::Tensor& v_in, const Families& families) {
    const at::Tensor q = q_in.contiguous(), k = k_in.contiguous(), v = v_in.contiguous();
    const AttentionShape shape = ShapeOf(q, k);
    const at::Tensor out = at::empty({q.size(0), shape.heads * shape.width}, q.options());
    const at::Tensor log_sum = at::empty({q.size(0), shape.heads}, q.options());
    const AttentionArrays arrays{In(q), In(k), In(v), Out(out), Out(log_sum)};
    ForEachFamilyAndHead(*families, shape.kv_heads, [&](const SegmentFamily& family, int64_t kv_head) {
      AttendForward(shape, family, kv_head, arrays);
    });
    ctx->save_for_backward({q, k, v, out, log_sum});
    ctx->saved_data["families"] = c10::IValue::make_capsule(c10::make_intrusive<FamiliesHolder>(families));
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], g = grads[0].contiguous();
    const at::Tensor dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
    const AttentionShape shape = ShapeOf(q, k);
    const AttentionGradientArrays arrays{In(q), In(k),   In(v),   In(saved[3]), In(saved[4]),
                                         In(g), Out(dq), Out(dk), Out(dv)};
    const auto holder = ctx->saved_data["families"].toCapsule();
    const auto& families = *static_cast<const FamiliesHolder*>(holder.get())->families;
    ForEachFamilyAndHead(families, shape.kv_heads, [&](const SegmentFamily& family, int64_t kv_head) {
      AttendBackward(shape, family, kv_head, arrays);
    });
    return {dq, dk, dv, at::Tensor()};
  }
};

LowRankLinear PlainLinearOf(const at::Tensor& weight, int64_t rows) {
  return {.rows = rows, .in = weight.size(1), .out = weight.size(0), .w_OI = In(weight)};
}

class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& weight_in) {
    const at::Tensor x = x_in.contiguous(), weight = weight_in.contiguous();
    ctx->save_for_backward({weight});
    const at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
    LowRankForward(PlainLinearOf(weight, x.size(0)), In(x), Out(y), nullptr);
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor weight = ctx->get_saved_variables()[0], g = grads[0].contiguous();
    const at::Tensor dx = at::empty({g.size(0), weight.size(1)}, g.options());
    PlainLinearBackward(PlainLinearOf(weight, g.size(0)), In(g), Out(dx));
    return {dx, at::Tensor()};
  }
};

bool Frozen(const at::Tensor& weight) { return IsPlainFloat(weight) && !weight.requires_grad(); }

}  // namespace

bool IsPlainFloat(const at::Tensor& t) { return t.scalar_type() == at::kFloat && t.is_cpu(); }

bool FusedRmsNormFits(const at::Tensor& x, const at::Tensor& weight) {
  return IsPlainFloat(x) && Frozen(weight) && x.numel() > 0 && x.size(-1) % kFusedPanel == 0;
}
at::Tensor FusedRmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNormFunction::apply(x, weight.contiguous(), eps);
}

bool FusedNormRotaryFits(const at::Tensor& x, const at::Tensor& weight) {
  return IsPlainFloat(x) && Frozen(weight) && x.size(-1) % (2 * kFusedPanel) == 0;
}
at::Tensor FusedNormRotary(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& cos,
                           const at::Tensor& sin) {
  return NormRotaryFunction::apply(x, weight.contiguous(), eps, cos.contiguous(), sin.contiguous());
}

bool FusedSwigluFits(const at::Tensor& gate, const at::Tensor& up) {
  return IsPlainFloat(gate) && IsPlainFloat(up) && gate.numel() > 0 && gate.size(-1) % kFusedPanel == 0;
}
at::Tensor FusedSwiglu(const at::Tensor& gate, const at::Tensor& up) { return SwigluFunction::apply(gate, up); }

bool FusedAttentionFits(const at::Tensor& q, const at::Tensor& k) {
  return IsPlainFloat(q) && IsPlainFloat(k) && SegmentAttentionFits(ShapeOf(q, k));
}
at::Tensor FusedAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const std::vector<SegmentFamily>& families) {
  return AttentionFunction::apply(q, k, v, std::make_shared<const std::vector<SegmentFamily>>(families));
}

bool FusedLinearFits(const at::Tensor& x, const at::Tensor& weight) {
  return IsPlainFloat(x) && x.dim() == 2 && Frozen(weight) && weight.is_contiguous() &&
         LowRankLinearFits(weight.size(1), weight.size(0));
}
at::Tensor FusedLinear(const at::Tensor& x, const at::Tensor& weight) { return LinearFunction::apply(x, weight); }

}  // namespace evilmoe
