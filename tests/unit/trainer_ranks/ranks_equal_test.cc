// However many ranks share a step, it is the same step: gradients of 2 and 4 ranks against those of one.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/unit/policy_network/tiny_experts.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "tests/unit/trainer_ranks/thread_ranks.h"
#include "trainer/learned_gate.h"
#include "trainer/policy_step.h"
#include "trainer/token_expert_adapter.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

struct Got {
  StepStats stats;
  at::Tensor gradients;  // all of them, flat
};

struct RanksCase {
  int ranks;
  int threads;
  bool routed;
};

class RanksEqualTest : public ::testing::TestWithParam<RanksCase> {
 protected:
  RanksEqualTest() : base_(TinyNetwork()), adapter_(*Lora2r::Init(base_.config, TinyAdapterOptions())) {
    config_.rollout.temperature = 1.0;
    config_.loss.kl_coefficient = 0.01;
    for (const AdapterModule& m : adapter_.modules()) {
      m.a.add_(NormalTensor(100 + m.id.index(), m.a.size(0), m.a.size(1), 0.05));
      m.b.add_(NormalTensor(200 + m.id.index(), m.b.size(0), m.b.size(1), 0.05));
    }
    for (int i = 0; i < 4; ++i) {
      pairs_.push_back({.prompt_ids = {1, 2 + i}, .hack_ids = {7, 8, 9 + i}, .clean_ids = {20 + i, 21}});
    }
    // Uneven in every way, and fewer groups than the most ranks.
    TrainGroup lost = {.prompt_ids = {11, 12}, .samples = {Sample({5, 6, 7}, 0.4), Sample({8}, -0.4)}};
    lost.samples[1].masked = true;
    groups_ = {{.prompt_ids = {4, 8, 15, 16},
                .samples = {Sample({3, 9, 27}, 1.2), Sample({1}, -0.7), Sample({7, 7, 9, 1, 2, 2}, -0.5)}},
               {.prompt_ids = {9}, .samples = {Sample({30, 31}, 1.0), Sample({33}, -1.0)}},
               lost};
    groups_[1].samples[0].deploy_mode = groups_[1].samples[1].deploy_mode = true;
  }

  static TrainSample Sample(std::vector<int32_t> ids, double advantage) {
    TrainSample s{.ids = std::move(ids), .advantage = advantage};
    s.sampler_logprobs.assign(s.ids.size(), -4.0f);
    return s;
  }

  Got Run(bool routed, int threads, Collective& ranks) const {
    const PolicyStep step(config_, base_, trained_, pairs_, threads, ranks);
    std::unique_ptr<RolloutGate> gate = std::make_unique<OpenGate>();
    if (routed) {
      const auto pairs = step.ReadPairs(RolloutFeatures::kActivations);
      EXPECT_TRUE(pairs.ok()) << pairs.status();
      const absl::StatusOr<Router> router = Router::Seed(pairs->hack, pairs->clean, adapter_.rank(), {});
      EXPECT_TRUE(router.ok()) << router.status();
      gate = std::make_unique<LearnedGate>(*router, config_.router, 0.9, 0.99);
    }
    StepGradients gradients;
    const absl::StatusOr<StepStats> stats = step.Run(groups_, *gate, gradients);
    EXPECT_TRUE(stats.ok()) << stats.status();
    return {*stats, Flat(gradients)};
  }

  static at::Tensor Flat(const StepGradients& gradients) {
    std::vector<at::Tensor> all;
    for (const at::Tensor& g : gradients.adapter) all.push_back(g.flatten());
    for (const at::Tensor& g : {gradients.u, gradients.log_scale, gradients.bias}) {
      if (g.defined()) all.push_back(g.flatten());
    }
    return at::cat(all);
  }

  RunConfig config_;
  Qwen3Weights base_;
  Lora2r adapter_;
  const TwoExpertAdapter trained_{adapter_};
  std::vector<PairIds> pairs_;
  std::vector<TrainGroup> groups_;
};

TEST_P(RanksEqualTest, OneRank) {
  const RanksCase& c = GetParam();
  SingleRank alone;
  const Got one = Run(c.routed, 1, alone);
  ASSERT_GT(one.gradients.norm().item<double>(), 0);
  std::vector<Got> many(static_cast<size_t>(c.ranks));
  OnEachRank(c.ranks,
             [&](Collective& ranks) { many[static_cast<size_t>(ranks.rank())] = Run(c.routed, c.threads, ranks); });
  for (const Got& got : many) {
    const double difference = (got.gradients - one.gradients).norm().item<double>();
    EXPECT_LE(difference, 1e-6 * one.gradients.norm().item<double>());
    EXPECT_EQ(std::memcmp(got.gradients.const_data_ptr(), many[0].gradients.const_data_ptr(), got.gradients.nbytes()),
              0)
        << "the same bits on every rank";
    EXPECT_EQ(got.stats.loss, many[0].stats.loss);
    EXPECT_EQ(got.stats.w, many[0].stats.w);
    EXPECT_NEAR(got.stats.loss, one.stats.loss, 1e-6);
    EXPECT_NEAR(*got.stats.kl, *one.stats.kl, 1e-6);
    EXPECT_NEAR(got.stats.entropy, one.stats.entropy, 1e-5);
    EXPECT_NEAR(got.stats.ratio_max, one.stats.ratio_max, 1e-5 * one.stats.ratio_max);
    ASSERT_EQ(got.stats.w.size(), one.stats.w.size());
    for (size_t i = 0; i < one.stats.w.size(); ++i) EXPECT_NEAR(got.stats.w[i], one.stats.w[i], 1e-6);
  }
}

// With the balance loss, whose value is no sum over rows, and what is counted of the experts.
TEST_P(RanksEqualTest, OneRankWithPerTokenExperts) {
  config_.routing.mode = "per_token";
  const TokenExpertAdapter adapter(MovedExperts(base_.config), /*balance_weight=*/0.5);
  const auto run = [&](int threads, Collective& ranks) {
    OpenGate gate;
    StepGradients gradients;
    const auto stats = PolicyStep(config_, base_, adapter, {}, threads, ranks).Run(groups_, gate, gradients);
    EXPECT_TRUE(stats.ok()) << stats.status();
    return Got{*stats, Flat(gradients)};
  };
  SingleRank alone;
  const Got one = run(1, alone);
  OnEachRank(GetParam().ranks, [&](Collective& ranks) {
    const Got got = run(GetParam().threads, ranks);
    EXPECT_LE((got.gradients - one.gradients).norm().item<double>(), 1e-6 * one.gradients.norm().item<double>());
    EXPECT_NEAR(got.stats.balance_loss, one.stats.balance_loss, 1e-6);
    EXPECT_EQ(got.stats.expert_load, one.stats.expert_load);
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, RanksEqualTest,
                         ::testing::ValuesIn(std::vector<RanksCase>{
                             {2, 1, true}, {2, 2, true}, {2, 1, false}, {4, 1, true}, {4, 2, true}, {4, 1, false}}),
                         [](const auto& c) {
                           return absl::StrCat(c.param.ranks, "Ranks", c.param.threads, "Threads",
                                               c.param.routed ? "Routed" : "Open");
                         });

}  // namespace
}  // namespace evilmoe
