#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "common/seed.h"
#include "trainer/fixed_gate.h"
#include "trainer/learned_gate.h"
#include "trainer/make_gate.h"
#include "trainer/score_window.h"

namespace evilmoe {
namespace {

TEST(ScoreWindowTest, TheOldestGoAndTheNewestWeighMost) {
  struct Case {
    int64_t capacity;
    double half_life;
    std::vector<std::vector<float>> added;
    double q;
    float want;
  };
  for (const Case& c : std::vector<Case>{{4, 1e9, {{4, 1, 3, 2}}, 0.5, 2},   // equal weights: two of four
                                         {4, 1e9, {{4, 1, 3, 2}}, 0.51, 3},  // the third is needed
                                         {4, 1e9, {{4, 1, 3, 2}}, 0, 1},     //
                                         {4, 1e9, {{4, 1, 3, 2}}, 1, 4},     //
                                         {3, 1e9, {{9, 1}, {3, 2}}, 1, 3},   // 9 is out of the window
                                         {2, 1e9, {{9, 8, 7, 6, 5}}, 1, 6},  // more at once than it holds
                                         {8, 1, {{1, 2}}, 0.33, 1},          // weights 1/3 and 2/3
                                         {8, 1, {{1, 2}}, 0.34, 2},
                                         {8, 1, {{2}, {1}}, 0.66, 1},
                                         {8, 1, {{2}, {1}}, 0.67, 2}}) {
    ScoreWindow window(c.capacity, c.half_life);
    for (const std::vector<float>& scores : c.added) window.Add(scores);
    EXPECT_EQ(window.Quantile(c.q), c.want) << "capacity " << c.capacity << ", q " << c.q;
  }
}

TEST(ScoreWindowTest, GoesOnFromItsState) {
  ScoreWindow one(6, 2), other(6, 2);
  const std::vector<float> first = {3, -1, 4, 1, -5, 9, 2}, second = {6, -5, 3};
  one.Add(first);
  other.scores().copy_(one.scores());
  other.count().copy_(one.count());
  one.Add(second);
  other.Add(second);
  EXPECT_EQ(one.size(), 6);
  EXPECT_TRUE(at::equal(one.scores(), other.scores()));
  for (const double q : {0.0, 0.1, 0.3, 0.5, 0.9, 1.0}) EXPECT_EQ(one.Quantile(q), other.Quantile(q));
}

class GatesTest : public ::testing::Test {
 protected:
  GatesTest() : samples_(10) {
    config_.adapter.rank = 2;
    config_.routing.mode = "fixed_activation";
    for (const TrainSample& sample : samples_) view_.push_back(&sample);
  }
  // Rows (i, 0, 0, 0) for sample i.
  static at::Tensor Ramp() {
    at::Tensor features = at::zeros({10, 4});
    features.select(1, 0).copy_(at::arange(10, at::kFloat));
    return features;
  }
  static std::vector<double> Doubles(const at::Tensor& t) {
    std::vector<double> out;
    for (int64_t i = 0; i < t.numel(); ++i) out.push_back(t[i].item<double>());
    return out;
  }

  RunConfig config_;
  std::vector<TrainSample> samples_;
  std::vector<const TrainSample*> view_;
  const at::Tensor direction_ = at::tensor({1.0f, 0.0f, 0.0f, 0.0f});
};

TEST_F(GatesTest, AFixedGateCutsScoresIntoThree) {
  config_.routing.half_life = 1e9;
  config_.routing.quantiles = {0.15, 0.85};
  FixedGate gate(config_, direction_);
  const Routing routing = gate.Route(view_, Ramp(), true);
  EXPECT_EQ(Doubles(routing.w), (std::vector<double>{0, 0, 1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(Doubles(routing.into_parameters), (std::vector<double>{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}));
  EXPECT_EQ(Doubles(routing.into_inputs), Doubles(routing.into_parameters));
}

TEST_F(GatesTest, EarlierRolloutsSetTheThresholdsAndASecondPassAddsNone) {
  config_.routing.half_life = 1e9;
  FixedGate gate(config_, direction_);
  gate.Route(view_, Ramp() + 100, true);
  const std::map<std::string, at::Tensor> before = [&] {
    std::map<std::string, at::Tensor> state;
    for (const auto& [name, tensor] : gate.tensors()) state[name] = tensor.clone();
    return state;
  }();
  gate.Route(view_, Ramp() - 100, false);
  for (const auto& [name, tensor] : gate.tensors()) EXPECT_TRUE(at::equal(tensor, before.at(name))) << name;
  const Routing low = gate.Route(view_, Ramp(), true);  // all below those of the first step
  EXPECT_EQ(low.w.sum().item<double>(), 8);             // two of twenty are at or below the quantile 0.1
  EXPECT_EQ(low.into_parameters.sum().item<double>(), 10);
}

TEST_F(GatesTest, LostSamplesAndScoresThatAreNoNumbersStayOutOfTheWindow) {
  samples_[9].masked = true;
  at::Tensor features = Ramp();
  features[8][0] = NAN;
  FixedGate gate(config_, direction_);
  gate.Route(view_, features, true);
  EXPECT_EQ(gate.tensors()[2].second.item<int64_t>(), 8);
}

TEST_F(GatesTest, ARefreshIsDueEverySoManyStepsAndTurnsTheDirection) {
  config_.router.refresh_v_act_every = 3;
  FixedGate gate(config_, direction_.clone());
  std::vector<int64_t> due;
  for (int64_t step = 0; step < 8; ++step) {
    if (gate.refreshes(step)) due.push_back(step);
  }
  EXPECT_EQ(due, (std::vector<int64_t>{3, 6}));
  ASSERT_TRUE(
      gate.Refresh({.hack = at::tensor({0.0f, 2.0f, 0.0f, 0.0f}).unsqueeze(0), .clean = at::zeros({1, 4})}).ok());
  for (const float same : {1.0f, NAN}) {
    EXPECT_EQ(gate.Refresh({.hack = at::full({1, 4}, same), .clean = at::full({1, 4}, same)}).code(),
              absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(at::allclose(gate.tensors()[0].second, at::tensor({0.0f, 1.0f, 0.0f, 0.0f})));
  config_.router.direction = "random";
  EXPECT_FALSE(FixedGate(config_, direction_).refreshes(3));
}

TEST_F(GatesTest, AnOraclesLabelIsTheMask) {
  samples_[0].oracle_hack = true;
  samples_[1].oracle_hack = false;
  const std::vector<const TrainSample*> three(view_.begin(), view_.begin() + 3);
  const Routing mask = OracleGate(MaskedGradient::kActivations).Route(three, {}, true);
  EXPECT_EQ(Doubles(mask.w), (std::vector<double>{1, 0, 1}));
  EXPECT_EQ(Doubles(mask.into_parameters), (std::vector<double>{0, 1, 1}));
  EXPECT_EQ(Doubles(mask.into_inputs), (std::vector<double>{0, 1, 1}));
  const Routing parameters = OracleGate(MaskedGradient::kParameters).Route(three, {}, true);
  EXPECT_EQ(Doubles(parameters.into_parameters), (std::vector<double>{0, 1, 1}));
  EXPECT_EQ(Doubles(parameters.into_inputs), (std::vector<double>{1, 1, 1}));
}

TEST_F(GatesTest, WithoutAPinOnlyRolloutsMoveTheRouter) {
  PairFeatures pairs{.hack = at::tensor({1.0f, 0.2f, 0.9f, 0.1f}).view({1, 4}),
                     .clean = at::tensor({0.1f, 1.0f, 0.3f, 0.8f}).view({1, 4})};
  for (const auto& [direction, weight, moves] : std::vector<std::tuple<std::string, double, bool>>{
           {"pairs", 1, true}, {"pairs", 0, false}, {"none", 1, false}}) {
    config_.routing.mode = "learned";
    config_.router.direction = direction;
    config_.router.pin_weight = weight;
    const auto gate = LearnedGate::Seed(config_, pairs);
    ASSERT_TRUE(gate.ok()) << gate.status();
    StepGradients gradients;
    StepStats stats;
    (*gate)->Route(view_, Ramp(), true);
    (*gate)->Backward(at::zeros({10}), pairs, gradients, stats);
    EXPECT_EQ(gradients.bias.abs().item<double>() + gradients.u.norm().item<double>() > 0, moves)
        << direction << weight;
    EXPECT_GT(stats.pin_loss, 0);
  }
}

TEST_F(GatesTest, PairsThatLookAlikeGiveNoDirection) {
  const PairFeatures alike{.hack = at::ones({2, 4}), .clean = at::ones({2, 4})};
  for (const std::string mode : {"fixed_activation", "fixed_gradient", "learned"}) {
    config_.routing.mode = mode;
    EXPECT_EQ(MakeGate(config_, 4, alike).status().code(), absl::StatusCode::kFailedPrecondition) << mode;
  }
  config_.routing.mode = "fixed_activation";
  config_.router.direction = "random";
  EXPECT_TRUE(MakeGate(config_, 4, {}).ok());
}

}  // namespace
}  // namespace evilmoe
