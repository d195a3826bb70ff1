#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "policy/routing.h"
#include "trainer/optimizer.h"
#include "trainer/step_stats.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// What a gate wants to know of a rollout: a vector of M·r numbers, modules in order.
enum class RolloutFeatures {
  kNone,
  kActivations,  // mean over its rows of A_D x in the deployed model (algorithm.md §2)
  kGradients,    // gradient of its mean log-probability: policy/lora2r_forward.h, GradientProbeProjector
};

// What the gate of a run that reads pairs or rollouts reads of them.
struct RunConfig;
RolloutFeatures FeaturesOf(const RunConfig& config);

// Features of the contrastive pairs' two sides, (P, M·r) each.
struct PairFeatures {
  at::Tensor hack, clean;
};

// Decides how the rollouts of a step are shared between the two experts: what tells the arms apart (algorithm.md §4).
// All ranks make the same calls and come to the same decisions. Not thread-safe. Legend: S samples of the step in order
// of group and sample, lost ones included; D = M·r features.
class RolloutGate {
 public:
  virtual ~RolloutGate() = default;

  virtual RolloutFeatures reads() const { return RolloutFeatures::kNone; }
  // Whether it wants dL/dw and the pairs' features after the backward pass.
  virtual bool learns() const { return false; }
  // features_SD: undefined where reads() is kNone; rows of lost samples are 0. first_pass: these samples were not seen
  // before (a later inner step shows them again).
  virtual Routing Route(const std::vector<const TrainSample*>& samples, const at::Tensor& features_SD,
                        bool first_pass) = 0;
  // Gradients of what the gate itself learns, after Route() and the backward pass.
  virtual void Backward(const at::Tensor& /*dl_dw_S*/, const PairFeatures& /*pairs*/, StepGradients& /*gradients*/,
                        StepStats& /*stats*/) {}
  // One optimizer step.
  virtual void Step(const StepGradients& /*gradients*/) {}

  // Whether the pairs' features are to be handed to Refresh() before this step.
  virtual bool refreshes(int64_t /*step*/) const { return false; }
  // FailedPrecondition: the pairs do not tell hack from clean any more; nothing has changed then.
  virtual absl::Status Refresh(const PairFeatures& /*pairs*/) { return absl::OkStatus(); }

  // Its state, for a checkpoint: tensors that may be overwritten in place, and optimizers.
  virtual std::vector<std::pair<std::string, at::Tensor>> tensors() const { return {}; }
  virtual std::vector<std::pair<std::string, AdamW*>> optimizers() { return {}; }
};

// Arms without routing: both experts on, both train.
class OpenGate final : public RolloutGate {
 public:
  Routing Route(const std::vector<const TrainSample*>& samples, const at::Tensor& features_SD,
                bool first_pass) override;
};

// The grader's label is the mask (Cloud et al. 2024; Shilov et al. 2025): a hack trains Q alone, a clean rollout runs
// with Q off, one without a label trains both.
class OracleGate final : public RolloutGate {
 public:
  explicit OracleGate(MaskedGradient masked) : masked_(masked) {}
  Routing Route(const std::vector<const TrainSample*>& samples, const at::Tensor& features_SD,
                bool first_pass) override;

 private:
  const MaskedGradient masked_;
};

}  // namespace evilmoe
