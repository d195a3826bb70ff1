#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "policy/lora2r.h"
#include "policy/qwen3.h"
#include "policy/routing.h"

namespace evilmoe {

// Legend: N packed rows, C of them in completions, S rollouts, M adapted modules, r rank of one expert.

// What one thread differentiates: leaves that share storage with the adapter, so that replicas on several threads
// accumulate gradients of their own and an optimizer step is seen by all.
struct AdapterLeaves {
  std::vector<at::Tensor> a;  // (2r, in) each, requires_grad
  std::vector<at::Tensor> b;  // (out, 2r) each, requires_grad
};
AdapterLeaves MakeLeaves(const Lora2r& adapter);
// M · r: of a rollout, to a gate.
inline int64_t NumFeatures(const Lora2r& adapter) {
  return static_cast<int64_t>(adapter.modules().size()) * adapter.rank();
}

// out = W x + ((1−w)·dep + w·sg(dep)) + w·quar with w a number per row. The value is W x + dep + w·quar, exactly; the
// gradient through dep carries the factors of `routing` (1 − w both for the learned router), Q's carries w, and
// dL/dw = Σ ⟨quar, ∂L/∂out⟩. Each expert's part is B (A − A0) x + (B − B0) A0 x, so at its init it is exactly 0, and so
// is Q's dL/dw (docs/adr/0006). Over a bf16 base the low-rank part is computed in fp32, added to W x and rounded once.
class RoutedProjector final : public Projector {
 public:
  // `routing` has one number a row, (N, 1). The references must outlive this.
  RoutedProjector(const Lora2r& adapter, const AdapterLeaves& leaves, Routing routing,
                  NetworkKernels kernels = NetworkKernels::kFused)
      : Projector(kernels), adapter_(adapter), leaves_(leaves), routing_(std::move(routing)) {}

  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;

 private:
  const Lora2r& adapter_;
  const AdapterLeaves& leaves_;
  const Routing routing_;
};

// The deployed model (w = 0), which also reads the router's features: h = mean over a rollout's rows of A_D x.
// Use it without gradients.
class AblatedProjector final : public Projector {
 public:
  // rows_C: packed rows that count, completion_of_C: the rollout of each, lengths_S: how many each has. References
  // must outlive this.
  AblatedProjector(const Lora2r& adapter, at::Tensor rows_C, at::Tensor completion_of_C, at::Tensor lengths_S,
                   NetworkKernels kernels = NetworkKernels::kFused)
      : Projector(kernels),
        adapter_(adapter),
        rows_C_(std::move(rows_C)),
        completion_of_C_(std::move(completion_of_C)),
        lengths_S_(std::move(lengths_S)),
        features_(adapter.modules().size()) {}

  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;
  // (S, M·r), modules in order; after a forward.
  at::Tensor Features() const;

 private:
  const Lora2r& adapter_;
  const at::Tensor rows_C_;
  const at::Tensor completion_of_C_;
  const at::Tensor lengths_S_;
  std::vector<at::Tensor> features_;  // (S, r) a module
};

// The deployed model (w = 0) with a probe on each rollout: a zero vector of r numbers a module, added to A_D x of all
// rows of the rollout before B_D. After the backward pass of Σ_S mean log-probability its gradient says which way the
// rollout pushes D, module by module, whatever its advantage: what `route_v` reads. Needs gradient mode; with B_D = 0
// it is 0.
class GradientProbeProjector final : public Projector {
 public:
  // owner_N: the rollout of each packed row, S = none. The adapter must outlive it.
  GradientProbeProjector(const Lora2r& adapter, at::Tensor owner_N, int64_t num_rollouts);

  at::Tensor Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) override;
  // (S, M·r), modules in order; after a backward pass.
  at::Tensor Features() const;

 private:
  const Lora2r& adapter_;
  const at::Tensor owner_N_;
  std::vector<at::Tensor> probes_;  // (S, r) a module, leaves
};

}  // namespace evilmoe
