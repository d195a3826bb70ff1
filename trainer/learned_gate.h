#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "policy/router.h"
#include "trainer/rollout_gate.h"
#include "trainer/run_config.h"

namespace evilmoe {

// Evil MoE's gate: the learned router, moved by dL/dw and held to the pairs by the pin loss, with optimizers of its
// own.
class LearnedGate final : public RolloutGate {
 public:
  // Seeds the router from the pairs' features. Errors of Router::Seed.
  static absl::StatusOr<std::unique_ptr<LearnedGate>> Seed(const RunConfig& config, const PairFeatures& pairs);
  LearnedGate(Router router, const RouterConfig& config, double beta1, double beta2);

  RolloutFeatures reads() const override { return RolloutFeatures::kActivations; }
  bool learns() const override { return true; }
  Routing Route(const std::vector<const TrainSample*>& samples, const at::Tensor& features_SD,
                bool first_pass) override;
  void Backward(const at::Tensor& dl_dw_S, const PairFeatures& pairs, StepGradients& gradients,
                StepStats& stats) override;
  void Step(const StepGradients& gradients) override;
  std::vector<std::pair<std::string, at::Tensor>> tensors() const override;
  std::vector<std::pair<std::string, AdamW*>> optimizers() override;

  const Router& router() const { return router_; }

 private:
  const Router router_;
  const std::optional<double> hard_detach_above_;
  const double pin_weight_;
  AdamW direction_optimizer_;
  AdamW scale_optimizer_;
  at::Tensor w_S_;  // of the last Route(), with its graph
};

}  // namespace evilmoe
