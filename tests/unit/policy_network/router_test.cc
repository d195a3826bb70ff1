#include "policy/router.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "policy/qwen3_weights.h"

namespace evilmoe {
namespace {

constexpr int64_t kRank = 4;

// Pairs whose sides differ along one direction under noise.
struct Pairs {
  at::Tensor hack = NormalTensor(1, 8, 24, 1.0);
  at::Tensor clean = NormalTensor(2, 8, 24, 1.0);
  Pairs() { hack.add_(1.5 * NormalTensor(3, 1, 24, 1.0)); }
};

TEST(RouterTest, PairMeansStartAtPlusAndMinusHalfTheSeparation) {
  const Pairs pairs;
  const auto router = Router::Seed(pairs.hack, pairs.clean, kRank, {.separation = 4.0});
  ASSERT_TRUE(router.ok()) << router.status();
  const auto mean_logit = [&](const at::Tensor& h) { return at::logit(router->Weights(h)).mean().item<double>(); };
  EXPECT_NEAR(mean_logit(pairs.hack), 2.0, 1e-3);
  EXPECT_NEAR(mean_logit(pairs.clean), -2.0, 1e-3);
  EXPECT_NEAR(router->AngleToSeed(), 0.0, 1e-3);
}

TEST(RouterTest, ARandomDirectionKeepsTheScaleAndCentresItself) {
  const Pairs pairs;
  const auto seeded = Router::Seed(pairs.hack, pairs.clean, kRank, {});
  const auto random = Router::Seed(pairs.hack, pairs.clean, kRank, {.direction = RouterDirection::kRandom, .seed = 5});
  ASSERT_TRUE(random.ok());
  EXPECT_EQ(random->log_scale().item<float>(), seeded->log_scale().item<float>());
  EXPECT_GT(random->AngleToSeed(), 0.5);
  const auto mean_logit = [&](const at::Tensor& h) { return at::logit(random->Weights(h)).mean().item<double>(); };
  EXPECT_NEAR(mean_logit(pairs.hack) + mean_logit(pairs.clean), 0.0, 1e-3);
}

// Invariant 8.
TEST(RouterTest, APinStepRaisesThePairSeparationAndNothingElseIsTouched) {
  const Pairs pairs;
  const auto router = Router::Seed(pairs.hack, pairs.clean, kRank, {.separation = 1.0});
  ASSERT_TRUE(router.ok());
  const at::Tensor features = pairs.hack.clone().requires_grad_(true);
  const double before = router->PairSeparation(pairs.hack, pairs.clean);
  router->PinLoss(features, pairs.clean).backward();
  EXPECT_FALSE(features.grad().defined());
  router->u().detach().sub_(router->u().grad(), 0.05);
  EXPECT_GT(router->PairSeparation(pairs.hack, pairs.clean), before);
}

TEST(RouterTest, RefusesPairsWhoseSidesAreTheSame) {
  const Pairs pairs;
  EXPECT_EQ(Router::Seed(pairs.clean, pairs.clean, kRank, {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace evilmoe
