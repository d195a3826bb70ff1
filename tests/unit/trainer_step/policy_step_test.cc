#include "trainer/policy_step.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "policy/qwen3.h"
#include "tests/unit/policy_network/tiny_experts.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "trainer/learned_gate.h"
#include "trainer/token_expert_adapter.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

// The adapter by the textbook form, out of autograd's own pieces: slow and plain, the reference of RoutedProjector.
class NaiveProjector final : public Projector {
 public:
  NaiveProjector(const Lora2r& adapter, const AdapterLeaves& leaves, at::Tensor w_N1)
      : adapter_(adapter), leaves_(leaves), w_(std::move(w_N1)) {}
  at::Tensor Project(ModuleId id, const at::Tensor& x, const at::Tensor& weight) override {
    const auto p = static_cast<size_t>(adapter_.position(id));
    const AdapterModule& m = adapter_.modules()[p];
    const int64_t r = adapter_.rank();
    const auto part = [&](int64_t begin) {
      const at::Tensor now =
          at::linear(at::linear(x, leaves_.a[p].narrow(0, begin, r)), leaves_.b[p].narrow(1, begin, r));
      return now - at::linear(at::linear(x, m.a0.narrow(0, begin, r)), m.b0.narrow(1, begin, r));
    };
    const at::Tensor dep = part(0), quar = part(r), w = w_.detach();
    return at::linear(x, weight) + (1 - w) * dep + w * dep.detach() + w_ * quar;
  }

 private:
  const Lora2r& adapter_;
  const AdapterLeaves& leaves_;
  const at::Tensor w_;
};

class PolicyStepTest : public ::testing::Test {
 protected:
  PolicyStepTest() : base_(TinyNetwork()), adapter_(*Lora2r::Init(base_.config, TinyAdapterOptions())) {
    config_.rollout.temperature = 1.0;
    config_.loss.kl_coefficient = 0.0;
    for (const AdapterModule& m : adapter_.modules()) {
      m.a.add_(NormalTensor(100 + m.id.index(), m.a.size(0), m.a.size(1), 0.05));
      m.b.add_(NormalTensor(200 + m.id.index(), m.b.size(0), m.b.size(1), 0.05));
    }
    for (int i = 0; i < 4; ++i) {
      pairs_.push_back({.prompt_ids = {1, 2 + i}, .hack_ids = {7, 8, 9 + i}, .clean_ids = {20 + i, 21}});
    }
    groups_ = {
        {.prompt_ids = {4, 8, 15, 16}, .samples = {Sample({3, 9, 27}, 1.2), Sample({1}, -0.7), Sample({7, 7}, -0.5)}},
        {.prompt_ids = {23, 42}, .samples = {Sample({2, 4, 8, 16, 32}, 0.9), Sample({5, 6}, -0.9)}},
        {.prompt_ids = {9}, .samples = {Sample({30, 31}, 1.0), Sample({33}, -1.0)}}};
  }

  static TrainSample Sample(std::vector<int32_t> ids, double advantage) {
    TrainSample s{.ids = std::move(ids), .advantage = advantage};
    s.sampler_logprobs.assign(s.ids.size(), -4.0f);
    return s;
  }
  Router MakeRouter() {
    const PolicyStep step(config_, base_, trained_, pairs_, 1, alone_);
    const auto features = step.ReadPairs(RolloutFeatures::kActivations);
    EXPECT_TRUE(features.ok()) << features.status();
    return *Router::Seed(features->hack, features->clean, adapter_.rank(), {});
  }
  StepGradients Run(const std::vector<TrainGroup>& groups, const Router* router, int threads,
                    StepStats* stats = nullptr) {
    const PolicyStep step(config_, base_, trained_, pairs_, threads, alone_);
    std::unique_ptr<RolloutGate> gate = std::make_unique<OpenGate>();
    if (router != nullptr) gate = std::make_unique<LearnedGate>(*router, config_.router, 0.9, 0.99);
    StepGradients gradients;
    const auto got = step.Run(groups, *gate, gradients);
    EXPECT_TRUE(got.ok()) << got.status();
    if (stats != nullptr) *stats = *got;
    return gradients;
  }
  static void ExpectClose(const StepGradients& a, const StepGradients& b, double tolerance) {
    for (size_t i = 0; i < a.adapter.size(); ++i) {
      EXPECT_LT((a.adapter[i] - b.adapter[i]).norm().item<double>(),
                tolerance * (1e-6 + a.adapter[i].norm().item<double>()));
    }
  }

  static StepGradients Scaled(StepGradients gradients, double factor) {
    for (at::Tensor& g : gradients.adapter) g = g * factor;
    return gradients;
  }

  SingleRank alone_;
  RunConfig config_;
  Qwen3Weights base_;
  Lora2r adapter_;
  const TwoExpertAdapter trained_{adapter_};
  std::vector<PairIds> pairs_;
  std::vector<TrainGroup> groups_;
};

// Loss and gradients of the packed step against autograd over one rollout at a time in the textbook form.
TEST_F(PolicyStepTest, GradientsAgreeWithTheNaiveReference) {
  const Router router = MakeRouter();
  StepStats stats;
  const StepGradients got = Run(groups_, &router, 1, &stats);

  const AdapterLeaves leaves = MakeLeaves(adapter_);
  double loss = 0, entropy = 0;
  int64_t tokens = 0;
  size_t index = 0;
  std::vector<double> dl_dw;
  for (const TrainGroup& group : groups_) {
    for (const TrainSample& sample : group.samples) {
      const at::Tensor w = at::scalar_tensor(stats.w[index++], at::kFloat).requires_grad_(true);
      std::vector<Segment> segments;
      const auto prompt_rows = static_cast<int64_t>(group.prompt_ids.size()) - 1;
      if (prompt_rows > 0) segments.push_back({.ids = {group.prompt_ids.begin(), group.prompt_ids.end() - 1}});
      std::vector<int32_t> inputs = {group.prompt_ids.back()};
      inputs.insert(inputs.end(), sample.ids.begin(), sample.ids.end() - 1);
      segments.push_back({.ids = inputs, .prefix = prompt_rows > 0 ? 0 : -1});
      const PackedBatch batch = Pack(segments);
      const auto rows = static_cast<int64_t>(inputs.size());
      const at::Tensor w_N1 = at::cat({at::zeros({prompt_rows}), w.expand({rows})}).unsqueeze(1);
      NaiveProjector naive(adapter_, leaves, w_N1);
      ForwardOptions options;
      if (prompt_rows > 0) options.prefix_gradient_scale_S = at::stack({at::ones({}), 1 - w.detach()});
      const at::Tensor hidden = Qwen3Hidden(base_, batch, naive, options).narrow(0, prompt_rows, rows);
      const std::vector<int64_t> targets(sample.ids.begin(), sample.ids.end());
      const at::Tensor all = at::log_softmax(at::linear(hidden, base_.head), -1);
      const at::Tensor logp = all.gather(1, at::tensor(targets, at::kLong).unsqueeze(1)).squeeze(1);
      entropy -= (all.exp() * all).sum().item<double>();
      tokens += rows;
      const at::Tensor term = -(logp - logp.detach()).exp() * sample.advantage / static_cast<double>(rows) / 7.0;
      term.sum().backward();
      loss += term.sum().item<double>();
      dl_dw.push_back(w.grad().item<double>());
    }
  }
  EXPECT_NEAR(stats.loss, loss, 1e-6);
  EXPECT_NEAR(stats.entropy, entropy / static_cast<double>(tokens), 1e-5);
  StepGradients want;
  for (size_t m = 0; m < leaves.a.size(); ++m) {
    want.adapter.insert(want.adapter.end(), {leaves.a[m].grad(), leaves.b[m].grad()});
  }
  ExpectClose(want, got, 1e-4);
  double norm = 0;
  for (const double d : dl_dw) norm += d * d;
  EXPECT_NEAR(stats.dl_dw_norm, std::sqrt(norm), 1e-4 * std::sqrt(norm) + 1e-7);
}

TEST_F(PolicyStepTest, ThreadsChangeNothingButTheOrderOfSums) {
  const Router router = MakeRouter();
  const StepGradients one = Run(groups_, &router, 1);
  const at::Tensor u = one.u.clone();
  const StepGradients three = Run(groups_, &router, 3);
  ExpectClose(one, three, 1e-5);
  EXPECT_LT((u - three.u).norm().item<double>(), 1e-5 * u.norm().item<double>() + 1e-8);
}

// Nor with per-token experts, whose balance loss is no sum over rows: groups are never parted.
TEST_F(PolicyStepTest, ThreadsChangeNothingWithPerTokenExperts) {
  config_.routing.mode = "per_token";
  const TokenExpertAdapter adapter(MovedExperts(base_.config), /*balance_weight=*/0.5);
  const auto run = [&](int threads, StepStats& stats) {
    OpenGate gate;
    StepGradients gradients;
    const auto got = PolicyStep(config_, base_, adapter, {}, threads, alone_).Run(groups_, gate, gradients);
    EXPECT_TRUE(got.ok()) << got.status();
    stats = *got;
    return gradients;
  };
  StepStats one, three;
  ExpectClose(run(1, one), run(3, three), 1e-5);
  EXPECT_NEAR(one.balance_loss, three.balance_loss, 1e-6);
  EXPECT_EQ(one.expert_load, three.expert_load);
}

// Groups too many for one part: the step is the mean of its groups' own steps, where the loss divides by the number of
// groups and what no group changes.
TEST_F(PolicyStepTest, PartsAddUpToTheStep) {
  const Router router = MakeRouter();
  config_.loss.reduction = "constant";
  std::vector<TrainGroup> groups;
  for (int g = 0; g < 4; ++g) {
    TrainGroup group{.prompt_ids = {4, 8, 15 + g}};
    for (int i = 0; i < 4; ++i) {
      std::vector<int32_t> ids;
      for (int t = 0; t < 100 + 5 * i; ++t) ids.push_back((7 * t + 3 * i + g) % 61);
      group.samples.push_back(Sample(std::move(ids), i % 2 == 0 ? 1.0 : -0.8));
      group.samples.back().reward = i % 3;
    }
    groups.push_back(std::move(group));
  }
  ASSERT_EQ(SplitGroups(groups, trained_, {}, {}).front().Parts().size(), 2u);
  for (const char* advantage : {"same", "split"}) {
    SCOPED_TRACE(advantage);
    config_.loss.deployed_advantage = advantage;
    StepStats stats;
    const StepGradients got = Run(groups, &router, 1, &stats);
    StepGradients sum;
    double loss = 0;
    for (const TrainGroup& group : groups) {
      StepStats part;
      const StepGradients one = Run({group}, &router, 1, &part);
      loss += part.loss;
      sum.adapter.resize(one.adapter.size());
      for (size_t i = 0; i < one.adapter.size(); ++i) {
        sum.adapter[i] = sum.adapter[i].defined() ? sum.adapter[i] + one.adapter[i] : one.adapter[i];
      }
    }
    ExpectClose(sum, Scaled(got, 4), 1e-4);
    EXPECT_NEAR(4 * stats.loss, loss, 1e-6);
    EXPECT_GT(got.adapter[0].norm().item<double>(), 0);
  }
}

TEST_F(PolicyStepTest, AMaskedSampleTakesNoPart) {
  const Router router = MakeRouter();
  const StepGradients want = Run(groups_, &router, 1);
  std::vector<TrainGroup> with_lost = groups_;
  TrainSample lost;
  lost.masked = true;
  with_lost[1].samples.insert(with_lost[1].samples.begin(), lost);
  ExpectClose(want, Run(with_lost, &router, 1), 1e-6);
}

TEST_F(PolicyStepTest, AHardDetachKeepsTheDeployedExpertOutOfHackRollouts) {
  config_.router.hard_detach_above = 1e-6;  // every rollout counts as one
  const Router router = MakeRouter();
  const StepGradients got = Run(groups_, &router, 1);
  const int64_t r = adapter_.rank();
  for (size_t i = 0; i < got.adapter.size(); ++i) {  // rows of A, columns of B
    EXPECT_EQ(got.adapter[i].narrow(i % 2 == 0 ? 0 : 1, 0, r).abs().max().item<double>(), 0.0);
  }
  EXPECT_GT(got.adapter[0].narrow(0, r, r).abs().max().item<double>(), 0.0);
}

TEST_F(PolicyStepTest, WithoutRoutingTheWholeAdapterTrains) {
  config_.routing.mode = "none";
  StepStats stats;
  const StepGradients got = Run(groups_, nullptr, 1, &stats);
  EXPECT_FALSE(got.u.defined());
  for (const double w : stats.w) EXPECT_EQ(w, 1.0);
  const int64_t r = adapter_.rank();
  EXPECT_GT(got.adapter[0].narrow(0, 0, r).abs().max().item<double>(), 0.0);
  EXPECT_GT(got.adapter[0].narrow(0, r, r).abs().max().item<double>(), 0.0);
}

// The sampler is made to call every token next to impossible: each ratio is cut to the cap.
TEST_F(PolicyStepTest, CutRatiosToTheSamplerWeighTheGradient) {
  config_.routing.mode = "none";
  const StepGradients on_policy = Run(groups_, nullptr, 1);
  std::vector<TrainGroup> negative = groups_;
  for (TrainGroup& group : negative) {
    for (TrainSample& sample : group.samples) sample.advantage = std::min(sample.advantage, 0.0);
  }
  const StepGradients on_policy_negative = Run(negative, nullptr, 1);

  for (TrainGroup& group : groups_) {
    for (TrainSample& sample : group.samples) std::ranges::fill(sample.sampler_logprobs, -30.0f);
  }
  config_.loss.old_logprob = "sampler";
  config_.loss.is_cap = 1.5;
  config_.loss.clip_high = 1.0;
  ExpectClose(Scaled(on_policy, 1.5), Run(groups_, nullptr, 1), 1e-5);
  config_.loss.clip_high = 0.2;  // tokens above it whose advantage is positive have nothing left to gain
  ExpectClose(Scaled(on_policy_negative, 1.5), Run(groups_, nullptr, 1), 1e-5);
  config_.loss.dual_clip = 1.2;
  for (const at::Tensor& g : Run(groups_, nullptr, 1).adapter) EXPECT_EQ(g.abs().max().item<double>(), 0.0);
}

TEST_F(PolicyStepTest, ASequenceFarFromTheSamplerTrainsNothingAndCounts) {
  const Router router = MakeRouter();
  config_.loss.sequence_mask_above = 3.0;
  StepStats stats;
  std::vector<TrainGroup> without = groups_;
  without[1].samples[0].advantage = 0;
  const StepGradients want = Run(without, &router, 2, &stats);
  EXPECT_EQ(stats.masked_sequences, 0);
  for (const float far : {-1.0f, -9.0f}) {
    std::ranges::fill(groups_[1].samples[0].sampler_logprobs, far);
    ExpectClose(want, Run(groups_, &router, 2, &stats), 1e-5);
    EXPECT_EQ(stats.masked_sequences, 1);
  }
}

TEST_F(PolicyStepTest, ASampleLeftOutIsNotInTheLossButItsWIsRead) {
  const Router router = MakeRouter();
  StepStats all, left_out, masked;
  Run(groups_, &router, 1, &all);
  std::vector<TrainGroup> other = groups_;
  other[0].samples[1].masked = true;
  const StepGradients want = Run(other, &router, 1, &masked);
  other[0].samples[1].masked = false;
  other[0].samples[1].left_out = true;
  ExpectClose(want, Run(other, &router, 1, &left_out), 1e-5);
  EXPECT_NEAR(left_out.loss, masked.loss, 1e-6);
  EXPECT_NEAR(left_out.w[1], all.w[1], 1e-6);
  EXPECT_NE(left_out.w[1], masked.w[1]);
}

TEST_F(PolicyStepTest, ThePinReachesTheRouterAlone) {
  for (TrainGroup& group : groups_) group.in_loss = false;
  const Router router = MakeRouter();
  const StepGradients got = Run(groups_, &router, 2);
  EXPECT_GT(got.u.norm().item<double>(), 0.0);
  for (const at::Tensor& g : got.adapter) EXPECT_FALSE(g.defined());
}

}  // namespace
}  // namespace evilmoe
