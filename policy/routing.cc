#include "policy/routing.h"

#include <ATen/ATen.h>

#include <vector>

namespace evilmoe {

Routing RouteByWeight(const at::Tensor& w_S, std::optional<double> hard_detach_above) {
  at::Tensor factor = 1 - w_S.detach();
  if (hard_detach_above) factor = factor.masked_fill(w_S.detach() > *hard_detach_above, 0.0);
  return {w_S, factor, factor};
}

Routing RouteToBoth(int64_t num_rollouts) {
  const at::Tensor ones = at::ones({num_rollouts});
  return {ones.clone(), ones, ones};
}

Routing RouteByMask(std::span<const RolloutMask> masks, MaskedGradient masked) {
  std::vector<float> w, trains_deployed;
  for (const RolloutMask mask : masks) {
    w.push_back(mask == RolloutMask::kKeep ? 0.0f : 1.0f);
    trains_deployed.push_back(mask == RolloutMask::kRout ? 0.0f : 1.0f);
  }
  const at::Tensor factor = at::tensor(trains_deployed, at::kFloat);
  const at::Tensor into_inputs = masked == MaskedGradient::kActivations ? factor : at::ones_like(factor);
  return {at::tensor(w, at::kFloat), into_inputs, factor};
}

Routing RowsOf(const Routing& rollouts, const Routing& elsewhere, const at::Tensor& owner_N) {
  const auto rows = [&](const at::Tensor& of_S, const at::Tensor& else_1) {
    const c10::Device device = owner_N.device();
    return at::cat({of_S.to(device), else_1.to(device)}).index_select(0, owner_N).unsqueeze(1);
  };
  return {rows(rollouts.w, elsewhere.w), rows(rollouts.into_inputs, elsewhere.into_inputs),
          rows(rollouts.into_parameters, elsewhere.into_parameters)};
}

Routing PromptRouting(bool whole_adapter) {
  const at::Tensor one = at::ones({1});
  return {whole_adapter ? one : at::zeros({1}), one, one};
}

}  // namespace evilmoe
