#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "policy/lora2r.h"
#include "policy/qwen3.h"

namespace evilmoe {

// Legend: N packed rows, C of them in completions, S rollouts, M adapted modules, r rank of one expert.

// What one thread differentiates: leaves that share storage with the adapter, so that replicas on several threads
// accumulate gradients of their own and an optimizer step is seen by all.
struct AdapterLeaves {
  std::vector<at::Tensor> a;  // (2r, in) each, requires_grad
  std::vector<at::Tensor> b;  // (out, 2r) each, requires_grad
};
AdapterLeaves MakeLeaves(const Lora2r& adapter);

// What every forward over one base model shares: W' = W − s·B0_D A0_D and the frozen factors of the inits. fp32.
class Lora2rConstants {
 public:
  Lora2rConstants(const Qwen3Weights& base, const Lora2r& adapter);

  struct Module {
    at::Tensor folded;      // W' (out, in); W itself with zero_b
    at::Tensor a0_d, a0_q;  // (r, in); undefined with zero_b
    at::Tensor b0_d, b0_q;  // (out, r)
  };
  const Lora2r& adapter() const { return adapter_; }
  const Module& module(int position) const { return modules_[static_cast<size_t>(position)]; }

 private:
  const Lora2r& adapter_;  // must outlive this
  std::vector<Module> modules_;
};

// out = W x + ((1−w)·dep + w·sg(dep)) + w·quar with w a number per row. The value is W x + dep + w·quar, exactly; the
// gradient through dep, into D and into x alike, carries `deployed_factor` (1−w, or 0 under a hard detach); Q's
// carries w; and dL/dw = Σ ⟨quar, ∂L/∂out⟩.
class RoutedProjector final : public Projector {
 public:
  // w_N1 may require a gradient, deployed_factor_N1 must not. All references must outlive this.
  RoutedProjector(const Lora2rConstants& constants, const AdapterLeaves& leaves, at::Tensor w_N1,
                  at::Tensor deployed_factor_N1)
      : constants_(constants), leaves_(leaves), w_N1_(std::move(w_N1)), factor_N1_(std::move(deployed_factor_N1)) {}

  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;

 private:
  const Lora2rConstants& constants_;
  const AdapterLeaves& leaves_;
  const at::Tensor w_N1_;
  const at::Tensor factor_N1_;
};

// The deployed model (w = 0), which also reads the router's features: h = mean over a rollout's rows of A_D x.
// Use it without gradients.
class AblatedProjector final : public Projector {
 public:
  // rows_C: packed rows that count, completion_of_C: the rollout of each, lengths_S: how many each has. References
  // must outlive this.
  AblatedProjector(const Lora2rConstants& constants, at::Tensor rows_C, at::Tensor completion_of_C,
                   at::Tensor lengths_S)
      : constants_(constants),
        rows_C_(std::move(rows_C)),
        completion_of_C_(std::move(completion_of_C)),
        lengths_S_(std::move(lengths_S)) {}

  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;
  // (S, M·r), modules in order; after a forward.
  at::Tensor Features() const;

 private:
  const Lora2rConstants& constants_;
  const at::Tensor rows_C_;
  const at::Tensor completion_of_C_;
  const at::Tensor lengths_S_;
  std::vector<at::Tensor> features_;  // (S, r) each
};

}  // namespace evilmoe
