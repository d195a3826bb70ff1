#include "trainer/rollout_gate.h"

#include "trainer/run_config.h"

namespace evilmoe {

RolloutFeatures FeaturesOf(const RunConfig& config) {
  return config.routing.mode == "fixed_gradient" ? RolloutFeatures::kGradients : RolloutFeatures::kActivations;
}

Routing OpenGate::Route(const std::vector<const TrainSample*>& samples, const at::Tensor&, bool) {
  return RouteToBoth(static_cast<int64_t>(samples.size()));
}

Routing OracleGate::Route(const std::vector<const TrainSample*>& samples, const at::Tensor&, bool) {
  std::vector<RolloutMask> masks;
  for (const TrainSample* sample : samples) {
    const bool known = sample->oracle_hack.has_value();
    masks.push_back(!known ? RolloutMask::kAbsorb : *sample->oracle_hack ? RolloutMask::kRout : RolloutMask::kKeep);
  }
  return RouteByMask(masks, masked_);
}

}  // namespace evilmoe
