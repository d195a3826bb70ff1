#include "trainer/fixed_gate.h"

#include <ATen/ATen.h>

#include <cmath>

#include "common/status_macros.h"
#include "policy/router.h"

namespace evilmoe {

namespace {

absl::StatusOr<at::Tensor> PairsDirection(const PairFeatures& pairs, int64_t rank) {
  const at::Tensor direction = ActivationDirection(pairs.hack, pairs.clean, rank);
  if (direction.norm().item<double>() > 0.5) return direction;  // false for what is no number, too
  return absl::FailedPreconditionError(
      "fixed gate: the pairs' hack and clean sides look alike to the model, expected a difference; add clearer pairs "
      "(gradients need adapter.init random_ab: with B = 0 there are none)");
}

}  // namespace

absl::StatusOr<at::Tensor> FixedDirection(const RunConfig& config, int64_t num_features, const PairFeatures& pairs) {
  const int64_t rank = config.adapter.rank;
  if (config.router.direction != "pairs") return RandomDirection(num_features, rank, config.seed);
  return PairsDirection(pairs, rank);
}

FixedGate::FixedGate(const RunConfig& config, at::Tensor direction_D)
    : features_(FeaturesOf(config)),
      config_(config.routing),
      refresh_every_(config.router.direction == "pairs" ? config.router.refresh_v_act_every : 0),
      rank_(config.adapter.rank),
      direction_D_(std::move(direction_D)),
      window_(config.routing.window, config.routing.half_life) {}

Routing FixedGate::Route(const std::vector<const TrainSample*>& samples, const at::Tensor& features_SD,
                         bool first_pass) {
  // As the window keeps them, so that a sample compares with its own score as equal.
  const at::Tensor scores_S =
      at::mv(features_SD.to(at::kDouble), direction_D_.to(at::kDouble)).to(at::kFloat).contiguous();
  const float* scores = scores_S.const_data_ptr<float>();
  std::vector<float> present;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (!samples[i]->masked && std::isfinite(scores[i])) present.push_back(scores[i]);
  }
  if (first_pass) window_.Add(present);
  std::vector<RolloutMask> masks(samples.size(), RolloutMask::kAbsorb);
  if (window_.size() == 0) return RouteByMask(masks, MaskedGradient::kActivations);
  const float low = window_.Quantile(config_.quantiles[0]), high = window_.Quantile(config_.quantiles[1]);
  for (size_t i = 0; i < samples.size(); ++i) {
    if (scores[i] <= low) masks[i] = RolloutMask::kKeep;
    if (scores[i] >= high) masks[i] = RolloutMask::kRout;
  }
  return RouteByMask(masks, MaskedGradient::kActivations);
}

bool FixedGate::refreshes(int64_t step) const { return refresh_every_ > 0 && step > 0 && step % refresh_every_ == 0; }

absl::Status FixedGate::Refresh(const PairFeatures& pairs) {
  EVILMOE_ASSIGN_OR_RETURN(const at::Tensor direction, PairsDirection(pairs, rank_));
  direction_D_.copy_(direction);
  return absl::OkStatus();
}

std::vector<std::pair<std::string, at::Tensor>> FixedGate::tensors() const {
  return {{"gate.direction", direction_D_}, {"gate.scores", window_.scores()}, {"gate.count", window_.count()}};
}

}  // namespace evilmoe
