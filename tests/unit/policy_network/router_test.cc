#include "policy/router.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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

// Each module of a random direction is a unit vector of its own before the whole is made unit.
TEST(RouterTest, ARandomDirectionGivesEveryModuleTheSameLengthAndComesFromItsSeedAlone) {
  const at::Tensor u = RandomDirection(24, kRank, 5);
  EXPECT_TRUE(at::equal(u, RandomDirection(24, kRank, 5)));
  EXPECT_FALSE(at::equal(u, RandomDirection(24, kRank, 6)));
  const at::Tensor lengths = u.view({6, kRank}).norm(2, 1);
  EXPECT_TRUE(at::allclose(lengths, at::full({6}, 1 / std::sqrt(6.0))));
}

TEST(RouterTest, AModuleWhoseSidesAreEqualHasNoPartInTheDirection) {
  Pairs pairs;
  pairs.hack.narrow(1, 0, kRank).copy_(pairs.clean.narrow(1, 0, kRank));
  const at::Tensor v = ActivationDirection(pairs.hack, pairs.clean, kRank);
  EXPECT_EQ(v.narrow(0, 0, kRank).abs().max().item<float>(), 0.0f);
  EXPECT_NEAR(v.norm().item<double>(), 1.0, 1e-6);
}

TEST(RouterTest, RefusesPairsThatAreNotOfOneShapeWithWholeModules) {
  const Pairs pairs;
  struct Case {
    at::Tensor hack, clean;
  };
  const std::vector<Case> cases = {{pairs.hack.narrow(0, 0, 0), pairs.clean.narrow(0, 0, 0)},
                                   {pairs.hack, pairs.clean.narrow(0, 0, 3)},
                                   {pairs.hack.narrow(1, 0, 22), pairs.clean.narrow(1, 0, 22)}};
  for (const Case& c : cases)
    EXPECT_EQ(Router::Seed(c.hack, c.clean, kRank, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RouterTest, RefusesPairsWhoseSidesAreTheSame) {
  const Pairs pairs;
  EXPECT_EQ(Router::Seed(pairs.clean, pairs.clean, kRank, {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace evilmoe
