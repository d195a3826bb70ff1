#include "policy/recompute.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>

#include <utility>

namespace evilmoe {
namespace {

using F = std::function<at::Tensor(const at::Tensor&)>;

// How an autograd context, which stores tensors and IValues, carries a function.
struct Capsule final : torch::CustomClassHolder {
  explicit Capsule(F function) : f(std::move(function)) {}
  F f;
};

class RecomputeFunction : public torch::autograd::Function<RecomputeFunction> {
 public:
  // `always` is a leaf that requires a gradient: without it the node is left out where x needs none, although what f
  // captured may.
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*always*/,
                            F f) {
    ctx->save_for_backward({x});
    at::Tensor out = f(x);
    ctx->saved_data["f"] = c10::IValue::make_capsule(c10::make_intrusive<Capsule>(std::move(f)));
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    TORCH_CHECK(torch::autograd::Engine::get_default_engine().is_checkpoint_valid(),
                "recomputed layers add to .grad(): use backward(), not grad()");
    const bool needs_x = ctx->needs_input_grad(0);
    const at::Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(needs_x);
    {
      const at::AutoGradMode enable(true);
      const auto capsule = c10::static_intrusive_pointer_cast<Capsule>(ctx->saved_data["f"].toCapsule());
      const at::Tensor out = capsule->f(x);
      // Retained, because layers share the graph above a captured tensor that is no leaf.
      if (out.requires_grad()) torch::autograd::backward({out}, {grads[0]}, /*retain_graph=*/true);
    }
    return {needs_x ? x.grad() : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor Recompute(const at::Tensor& x, F f) {
  if (!c10::GradMode::is_enabled()) return f(x);
  const at::Tensor always = at::empty({0}, x.options().dtype(at::kFloat)).requires_grad_(true);
  return RecomputeFunction::apply(x, always, std::move(f));
}

}  // namespace evilmoe
