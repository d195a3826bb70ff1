#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "policy/routing.h"
#include "tests/unit/policy_network/double_reference.h"
#include "tests/unit/policy_network/invariants_fixture.h"

namespace evilmoe {
namespace {

// The routes other than the learned one, each against its own textbook form: values and gradients of both experts.

struct RouteCase {
  std::string name;
  Route route;
  ReferenceRouteOf reference;
  bool whole_prompt = false;
};

Route Masked(MaskedGradient masked) {
  return [masked](const at::Tensor&) {
    std::vector<RolloutMask> masks;
    for (const Rollout& r : Rollouts()) masks.push_back(r.mask);
    return RouteByMask(masks, masked);
  };
}
ReferenceRoute MaskedReference(const Rollout& rollout, DeployedGradient routed) {
  const bool stops = rollout.mask == RolloutMask::kRout;
  return {.w = at::scalar_tensor(rollout.mask == RolloutMask::kKeep ? 0.0 : 1.0, at::kDouble),
          .deployed = stops ? routed : DeployedGradient::kWhole,
          .prompt_gradient = stops ? 0.0 : 1.0};
}

const std::vector<RouteCase>& RouteCases() {
  static const auto* const cases = new std::vector<RouteCase>{
      {"hard_detach", [](const at::Tensor& w_S) { return RouteByWeight(w_S, 0.45); },
       [](const Rollout& rollout, at::Tensor w) {
         const bool above = rollout.w > 0.45;
         return ReferenceRoute{.w = std::move(w),
                               .deployed = above ? DeployedGradient::kNone : DeployedGradient::kThinned,
                               .prompt_gradient = above ? 0 : 1 - rollout.w};
       }},
      {"both", [](const at::Tensor& w_S) { return RouteToBoth(w_S.numel()); },
       [](const Rollout&, const at::Tensor&) {
         return ReferenceRoute{.w = at::ones({}, at::kDouble), .deployed = DeployedGradient::kWhole};
       },
       /*whole_prompt=*/true},
      {"gradient_routing", Masked(MaskedGradient::kActivations),
       [](const Rollout& rollout, const at::Tensor&) { return MaskedReference(rollout, DeployedGradient::kNone); }},
      {"sgtm", Masked(MaskedGradient::kParameters),
       [](const Rollout& rollout, const at::Tensor&) {
         return MaskedReference(rollout, DeployedGradient::kNotItsParameters);
       }}};
  return *cases;
}

class RoutesTest : public InvariantsTest {};
INSTANTIATE_TEST_SUITE_P(Inits, RoutesTest, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

TEST_P(RoutesTest, OtherRoutesAgreeWithTheirTextbookForms) {
  Train();
  for (const RouteCase& c : RouteCases()) {
    SCOPED_TRACE(c.name);
    const Pass ours = Ours(Rollouts(), c.route, c.whole_prompt);
    const Pass want = Reference(Rollouts(), c.reference, c.whole_prompt);
    ExpectSameLogProbs(ours, want);
    ExpectSameGradients(ours, want);
  }
}

}  // namespace
}  // namespace evilmoe
