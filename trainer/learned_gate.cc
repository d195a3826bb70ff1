#include "trainer/learned_gate.h"

#include <ATen/ATen.h>

#include "common/status_macros.h"

namespace evilmoe {

absl::StatusOr<std::unique_ptr<LearnedGate>> LearnedGate::Seed(const RunConfig& config, const PairFeatures& pairs) {
  const RouterOptions options{
      .direction = config.router.direction == "pairs" ? RouterDirection::kPairs : RouterDirection::kRandom,
      .separation = config.router.separation,
      .seed = config.seed};
  EVILMOE_ASSIGN_OR_RETURN(Router router, Router::Seed(pairs.hack, pairs.clean, config.adapter.rank, options));
  return std::make_unique<LearnedGate>(std::move(router), config.router, config.optimizer.betas[0],
                                       config.optimizer.betas[1]);
}

LearnedGate::LearnedGate(Router router, const RouterConfig& config, double beta1, double beta2)
    : router_(std::move(router)),
      hard_detach_above_(config.hard_detach_above),
      pin_weight_(config.direction == "none" ? 0.0 : config.pin_weight),
      direction_optimizer_({router_.u()}, {}, {.learning_rate = config.learning_rate, .beta1 = beta1, .beta2 = beta2}),
      scale_optimizer_({router_.log_scale(), router_.bias()}, {},
                       {.learning_rate = config.scale_learning_rate, .beta1 = beta1, .beta2 = beta2}) {}

Routing LearnedGate::Route(const std::vector<const TrainSample*>&, const at::Tensor& features_SD, bool) {
  for (const at::Tensor* leaf : {&router_.u(), &router_.log_scale(), &router_.bias()}) leaf->mutable_grad().reset();
  w_S_ = router_.Weights(features_SD);
  return RouteByWeight(w_S_.detach(), hard_detach_above_);
}

void LearnedGate::Backward(const at::Tensor& dl_dw_S, const PairFeatures& pairs, StepGradients& gradients,
                           StepStats& stats) {
  w_S_.backward(dl_dw_S);
  const at::Tensor pin = router_.PinLoss(pairs.hack, pairs.clean);
  if (pin_weight_ > 0) (pin_weight_ * pin).backward();
  stats.pin_loss = pin.item<double>();
  stats.pair_separation = router_.PairSeparation(pairs.hack, pairs.clean);
  stats.router_angle = router_.AngleToSeed();
  gradients.u = router_.u().grad();
  gradients.log_scale = router_.log_scale().grad();
  gradients.bias = router_.bias().grad();
}

void LearnedGate::Step(const StepGradients& gradients) {
  direction_optimizer_.Step({gradients.u}, 1.0);
  scale_optimizer_.Step({gradients.log_scale, gradients.bias}, 1.0);
}

std::vector<std::pair<std::string, at::Tensor>> LearnedGate::tensors() const {
  return {{"router.u", router_.u()},
          {"router.log_scale", router_.log_scale()},
          {"router.bias", router_.bias()},
          {"router.v_act", router_.v_act()}};
}

std::vector<std::pair<std::string, AdamW*>> LearnedGate::optimizers() {
  return {{"direction", &direction_optimizer_}, {"scale", &scale_optimizer_}};
}

}  // namespace evilmoe
