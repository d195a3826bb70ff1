// A training step on a GPU is the CPU's.

#include <ATen/ATen.h>

#include <memory>

#include "tests/gpu/gpu.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "trainer/learned_gate.h"
#include "trainer/policy_step.h"
#include "trainer/two_expert_adapter.h"

namespace evilmoe {
namespace {

struct Stepped {
  StepStats stats;
  at::Tensor gradients;  // of the adapter, flat, fp64 on the CPU
  at::Tensor router;
};

class GpuStepTest : public GpuTest {
 protected:
  static TrainSample Sample(std::vector<int32_t> ids, double advantage, bool deploy_mode) {
    TrainSample s{.ids = std::move(ids), .advantage = advantage, .reward = advantage, .deploy_mode = deploy_mode};
    s.sampler_logprobs.assign(s.ids.size(), -4.0f);
    return s;
  }

  Stepped Step(c10::Device device, at::ScalarType dtype, bool split = false) const {
    RunConfig config;
    config.loss.kl_coefficient = 0.01;
    config.loss.deployed_advantage = split ? "split" : "same";
    const Qwen3Weights base = ConvertQwen3(TinyNetwork(), dtype, device);
    Lora2r adapter = *Lora2r::Init(base.config, TinyAdapterOptions());
    for (const AdapterModule& m : adapter.modules()) {
      m.a.add_(NormalTensor(100 + static_cast<uint64_t>(m.id.index()), m.a.size(0), m.a.size(1), 0.05));
      m.b.add_(NormalTensor(200 + static_cast<uint64_t>(m.id.index()), m.b.size(0), m.b.size(1), 0.05));
    }
    adapter.MoveTo(device);
    std::vector<PairIds> pairs;
    for (int i = 0; i < 4; ++i) {
      pairs.push_back({.prompt_ids = {1, 2 + i}, .hack_ids = {7, 8, 9 + i}, .clean_ids = {20 + i, 21}});
    }
    const std::vector<TrainGroup> groups = {
        {.prompt_ids = {4, 8, 15, 16},
         .samples = {Sample({3, 9, 27}, 1.2, false), Sample({1}, -0.7, false), Sample({7, 7}, -0.5, false)}},
        {.prompt_ids = {23, 42}, .samples = {Sample({2, 4, 8, 16, 32}, 0.9, true), Sample({5, 6}, -0.9, true)}}};
    SingleRank alone(device);
    const TwoExpertAdapter trained(adapter);
    const PolicyStep step(config, base, trained, pairs, 1, alone);
    const auto features = step.ReadPairs(RolloutFeatures::kActivations);
    EXPECT_TRUE(features.ok()) << features.status();
    LearnedGate gate(*Router::Seed(features->hack, features->clean, adapter.rank(), {}), config.router, 0.9, 0.99);
    StepGradients gradients;
    const auto stats = step.Run(groups, gate, gradients);
    EXPECT_TRUE(stats.ok()) << stats.status();
    std::vector<at::Tensor> flat;
    for (const at::Tensor& g : gradients.adapter) {
      EXPECT_EQ(g.device(), device);
      flat.push_back(g.to(at::kCPU, at::kDouble).flatten());
    }
    return {*stats, at::cat(flat), gradients.u.to(at::kCPU, at::kDouble)};
  }

  static double Apart(const at::Tensor& got, const at::Tensor& want) {
    return ((got - want).norm() / want.norm()).item<double>();
  }
};

TEST_F(GpuStepTest, InFp32ItIsTheCpusStep) {
  for (const bool split : {false, true}) {
    const Stepped want = Step(c10::kCPU, at::kFloat, split), got = Step(device_, at::kFloat, split);
    EXPECT_LE(Apart(got.gradients, want.gradients), 1e-4);
    EXPECT_LE(Apart(got.router, want.router), 1e-4);
    EXPECT_NEAR(got.stats.loss, want.stats.loss, 1e-5);
    EXPECT_NEAR(got.stats.logp_difference_max, want.stats.logp_difference_max, 1e-4);
    for (size_t i = 0; i < want.stats.w.size(); ++i) EXPECT_NEAR(got.stats.w[i], want.stats.w[i], 1e-4);
  }
}

TEST_F(GpuStepTest, OverABf16BaseGradientsAreFp32AndNearFp32s) {
  const Stepped want = Step(c10::kCPU, at::kFloat), got = Step(device_, at::kBFloat16);
  EXPECT_LE(Apart(got.gradients, want.gradients), 0.1);
  for (size_t i = 0; i < want.stats.w.size(); ++i) EXPECT_NEAR(got.stats.w[i], want.stats.w[i], 0.05);
}

}  // namespace
}  // namespace evilmoe
