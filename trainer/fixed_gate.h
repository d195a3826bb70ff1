#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "trainer/rollout_gate.h"
#include "trainer/run_config.h"
#include "trainer/score_window.h"

namespace evilmoe {

// A gate that learns nothing (vGROUT's route_a, route_v and route_random): a rollout's score is its features along a
// direction, and quantiles of the last rollouts' scores cut them into three. At or above the upper one a rollout trains
// Q alone, at or below the lower one D alone with Q off, between them both. The step's own scores are in the window.
class FixedGate final : public RolloutGate {
 public:
  // direction_D: unit vector towards hacks (ActivationDirection of the pairs' features), or a random one.
  FixedGate(const RunConfig& config, at::Tensor direction_D);

  RolloutFeatures reads() const override { return features_; }
  Routing Route(const std::vector<const TrainSample*>& samples, const at::Tensor& features_SD,
                bool first_pass) override;
  bool refreshes(int64_t step) const override;
  absl::Status Refresh(const PairFeatures& pairs) override;
  std::vector<std::pair<std::string, at::Tensor>> tensors() const override;

 private:
  const RolloutFeatures features_;
  const RoutingConfig config_;
  const int refresh_every_;  // 0 = never
  const int64_t rank_;
  at::Tensor direction_D_;
  ScoreWindow window_;
};

// The direction that a fixed gate begins with. FailedPrecondition: the pairs' sides are alike to the model.
absl::StatusOr<at::Tensor> FixedDirection(const RunConfig& config, int64_t num_features, const PairFeatures& pairs);

}  // namespace evilmoe
