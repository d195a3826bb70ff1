#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <optional>
#include <type_traits>
#include <vector>

#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/router.h"
#include "policy/routing.h"
#include "tests/unit/policy_network/double_reference.h"
#include "tests/unit/policy_network/invariants_fixture.h"
#include "tests/unit/policy_network/network_fixtures.h"

namespace evilmoe {
namespace {

// The invariants of the router (algorithm.md §6, 8 and of 12 what is the policy's), over features of both inits.

// Pairs: Rollouts() as hack sides against other completions of the same prompts as clean sides.
class RouterInvariantsTest : public InvariantsTest {
 protected:
  static std::vector<Rollout> Clean() {
    std::vector<Rollout> clean = Rollouts();
    for (Rollout& r : clean) {
      for (int32_t& id : r.completion) id = (id + 29) % 61;
    }
    return clean;
  }
  at::Tensor Features(const std::vector<Rollout>& rollouts) const {
    const RolloutBatch batch = PackRollouts(rollouts);
    const auto count = static_cast<int64_t>(rollouts.size());
    const at::Tensor rows = at::nonzero(batch.owner_N < count).squeeze(1);
    const at::Tensor owners = batch.owner_N.index_select(0, rows);
    const at::Tensor lengths = at::bincount(owners).to(at::kFloat);
    AblatedProjector ablated(adapter_, rows, owners, lengths);
    const c10::NoGradGuard no_grad;
    Qwen3Hidden(base_, batch.packed, ablated);
    return ablated.Features();
  }
  // (S, M·r) in double: the ablated model is w = 0.
  at::Tensor ReferenceFeatures(const std::vector<Rollout>& rollouts) const {
    DoubleReference reference(base_, adapter_);
    const c10::NoGradGuard no_grad;
    std::vector<at::Tensor> features;
    for (const Rollout& r : rollouts) {
      reference.Hidden(InputIds(r), static_cast<int64_t>(r.completion.size()), {.w = at::zeros({}, at::kDouble)});
      features.push_back(reference.Features());
    }
    return at::stack(features);
  }
  static at::Tensor ReferenceDirection(const at::Tensor& hack, const at::Tensor& clean) {
    std::vector<at::Tensor> modules;
    const at::Tensor difference = (hack - clean).mean(0);
    for (const at::Tensor& module : difference.split(kRank)) modules.push_back(module / module.norm());
    const at::Tensor flat = at::cat(modules);
    return flat / flat.norm();
  }
  static at::Tensor Cosine(const at::Tensor& features, const at::Tensor& u) {
    return at::mv(features, u) / (features.norm(2, 1) * u.norm());
  }
};
INSTANTIATE_TEST_SUITE_P(Inits, RouterInvariantsTest, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

TEST_P(RouterInvariantsTest, Invariant8_TheSeededRouterOrdersRolloutsAsTheActivationDirectionDoes) {
  Train();
  const at::Tensor hack = ReferenceFeatures(Rollouts()), clean = ReferenceFeatures(Clean());
  EXPECT_LT(MaxDifference(Features(Rollouts()), hack), 1e-5);
  const auto router = Router::Seed(Features(Rollouts()), Features(Clean()), kRank, {});
  ASSERT_TRUE(router.ok()) << router.status();
  const at::Tensor direction = ReferenceDirection(hack, clean);
  EXPECT_LT(MaxDifference(router->u().detach(), direction), 1e-5);

  const at::Tensor all = at::cat({hack, clean}), cosine = Cosine(all, direction);
  const at::Tensor w = router->Weights(at::cat({Features(Rollouts()), Features(Clean())})).detach();
  EXPECT_TRUE(at::equal(w.argsort(), cosine.argsort()));
  // s = 4 / gap and b = −s · midpoint of the sides' mean cosines.
  const auto rows = static_cast<int64_t>(Rollouts().size());
  const double up = cosine.narrow(0, 0, rows).mean().item<double>();
  const double down = cosine.narrow(0, rows, rows).mean().item<double>();
  const at::Tensor want = at::sigmoid(4 / (up - down) * (cosine - (up + down) / 2));
  EXPECT_LT(MaxDifference(w, want), 1e-4);
}

TEST_P(RouterInvariantsTest, Invariant8_APinStepSeparatesThePairsAndLeavesAAndBAlone) {
  Train();
  const auto seed = Router::Seed(Features(Rollouts()), Features(Clean()), kRank, {.separation = 1.0});
  ASSERT_TRUE(seed.ok()) << seed.status();
  // Off its seed, as training would have it.
  const at::Tensor drift = NormalTensor(17, 1, seed->u().numel(), 0.05).squeeze(0);
  const Router router(seed->u().detach() + drift, seed->log_scale().detach(), seed->bias().detach(), seed->v_act());

  // Features that would carry a gradient into A: none may arrive.
  const at::Tensor hack = Features(Rollouts()).requires_grad_(true), clean = Features(Clean()).requires_grad_(true);
  const double before = router.PairSeparation(hack, clean);
  router.PinLoss(hack, clean).backward();
  EXPECT_FALSE(hack.grad().defined());
  EXPECT_FALSE(clean.grad().defined());

  // The pin and its gradient in double: −mean[log σ(z_hack) + log(1 − σ(z_clean))].
  const at::Tensor u = router.u().detach().to(at::kDouble).requires_grad_(true);
  const at::Tensor log_s = router.log_scale().detach().to(at::kDouble).requires_grad_(true);
  const at::Tensor b = router.bias().detach().to(at::kDouble).requires_grad_(true);
  const auto z = [&](const at::Tensor& h) { return log_s.exp() * Cosine(h, u) + b; };
  const at::Tensor pin = -(at::log_sigmoid(z(ReferenceFeatures(Rollouts()))) +
                           at::log_sigmoid(-z(ReferenceFeatures(Clean()))))
                              .mean();
  EXPECT_NEAR(router.PinLoss(hack, clean).item<double>(), pin.item<double>(), 1e-5);
  pin.backward();
  EXPECT_LT(Relative({router.u().grad()}, {u.grad()}), 1e-4);
  EXPECT_LT(Relative({router.log_scale().grad()}, {log_s.grad()}), 1e-4);
  EXPECT_LT(Relative({router.bias().grad()}, {b.grad()}), 1e-3);

  router.u().detach().sub_(router.u().grad(), 0.05);
  EXPECT_GT(router.PairSeparation(hack, clean), before);
}

// A non-oracle arm routes by the features and by nothing else: there is no argument that a label could come in by, and
// what the quarantine has learnt does not show in w either.
static_assert(std::is_same_v<decltype(&Router::Weights), at::Tensor (Router::*)(const at::Tensor&) const>);
static_assert(std::is_same_v<decltype(RouteByWeight), Routing(const at::Tensor&, std::optional<double>)>);
static_assert(std::is_same_v<decltype(RouteToBoth), Routing(int64_t)>);

TEST_P(RouterInvariantsTest, Invariant12_WIsReadFromTheDeployedModelAlone) {
  Perturb(0);
  const at::Tensor before = Features(Rollouts());
  Perturb(kRank);
  EXPECT_TRUE(at::equal(Features(Rollouts()), before));
}

}  // namespace
}  // namespace evilmoe
