#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "policy/lora2r.h"
#include "policy/lora2r_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "tests/unit/policy_network/double_reference.h"
#include "tests/unit/policy_network/network_fixtures.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

// An adapter over a bf16 base: one rounding a module, and how far a merged copy may be from it.

constexpr int64_t kTokens = 48;

class Lora2rBf16Test : public ::testing::TestWithParam<bool> {  // random_ab or zero_b
 protected:
  Lora2rBf16Test()
      : base_(ConvertQwen3(TinyNetwork(), at::kBFloat16)),
        adapter_(*Lora2r::Init(base_.config, TinyAdapterOptions(GetParam()))) {}

  void Train(double deviation) {
    for (const AdapterModule& m : adapter_.modules()) {
      const auto index = static_cast<uint64_t>(m.id.index());
      m.a.add_(NormalTensor(100 + index, m.a.size(0), m.a.size(1), deviation));
      m.b.add_(NormalTensor(200 + index, m.b.size(0), m.b.size(1), deviation));
    }
  }
  static PackedBatch Batch() { return Pack({Segment{.ids = RandomIds(kTokens, 5)}}); }

  at::Tensor Logits(const Qwen3Weights& weights, Projector& projector) const {
    const c10::NoGradGuard no_grad;
    return at::linear(Qwen3Hidden(weights, Batch(), projector), weights.head).to(at::kDouble);
  }
  at::Tensor Plain(const Qwen3Weights& weights) const {
    PlainProjector plain;
    return Logits(weights, plain);
  }
  at::Tensor Routed(double w) const {
    const AdapterLeaves leaves = MakeLeaves(adapter_);
    RoutedProjector routed(adapter_, leaves, RouteByWeight(at::full({kTokens, 1}, w)));
    return Logits(base_, routed);
  }
  at::Tensor Ablated() const {
    AblatedProjector ablated(adapter_, at::arange(kTokens, at::kLong), at::zeros({kTokens}, at::kLong),
                             at::full({1}, static_cast<double>(kTokens)));
    return Logits(base_, ablated);
  }
  at::Tensor InDouble(double w) const {
    const c10::NoGradGuard no_grad;
    DoubleReference reference(base_, adapter_);
    return reference.Logits(reference.Hidden(RandomIds(kTokens, 5), kTokens, {.w = at::scalar_tensor(w, at::kDouble)}));
  }
  // Mean over tokens of KL(p ‖ q), in nats.
  static double Kl(const at::Tensor& p, const at::Tensor& q) {
    const at::Tensor log_p = at::log_softmax(p, -1), log_q = at::log_softmax(q, -1);
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean().item<double>();
  }

  Qwen3Weights base_;
  Lora2r adapter_;
};
INSTANTIATE_TEST_SUITE_P(Inits, Lora2rBf16Test, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

TEST_P(Lora2rBf16Test, IsExactlyTheBaseModelAtInit) {
  const at::Tensor base = Plain(base_);
  for (const double w : {0.0, 0.37, 1.0}) EXPECT_TRUE(at::equal(Routed(w), base)) << "w " << w;
  EXPECT_TRUE(at::equal(Ablated(), base));
  EXPECT_TRUE(at::equal(Plain(Merge(base_, adapter_, 1.0)), base));
}

TEST_P(Lora2rBf16Test, TheAblatedForwardIsTheRoutedOneAtWZero) {
  Train(0.05);
  EXPECT_TRUE(at::equal(Ablated(), Routed(0)));
}

// Rounding costs the adapter no more than it costs the network that it is on.
TEST_P(Lora2rBf16Test, IsAsFarFromDoublePrecisionAsTheBaseModelIs) {
  const double base = Kl(InDouble(1), Plain(base_));
  Train(0.05);
  for (const double w : {0.0, 0.37, 1.0}) {
    const double kl = Kl(InDouble(w), Routed(w));
    EXPECT_LT(kl, 2 * base) << "w " << w;
    EXPECT_GT(Kl(InDouble(w), Plain(base_)), 20 * kl) << "the adapter does something at w " << w;
  }
}

// What a sampler with merged weights draws from: as near to the un-merged model as bf16 is to double precision.
TEST_P(Lora2rBf16Test, MergedWeightsStayWithinTheRoundingOfBf16) {
  Train(0.05);
  for (const double w : {0.0, 0.37, 1.0}) {
    const double kl = Kl(Routed(w), Plain(Merge(base_, adapter_, w)));
    EXPECT_LT(kl, 3 * Kl(InDouble(w), Routed(w))) << "w " << w;
    EXPECT_LT(kl, 2e-4) << "w " << w;
  }
}

TEST_P(Lora2rBf16Test, GradientsAreInFp32AndAgreeWithDoublePrecision) {
  Train(0.05);
  constexpr double kW = 0.37;
  const AdapterLeaves leaves = MakeLeaves(adapter_);
  RoutedProjector routed(adapter_, leaves, RouteByWeight(at::full({kTokens, 1}, kW)));
  const at::Tensor logits = at::linear(Qwen3Hidden(base_, Batch(), routed), base_.head);
  at::log_softmax(logits.to(at::kFloat), -1).select(1, 7).mean().backward();

  DoubleReference reference(base_, adapter_);
  const at::Tensor want = reference.Logits(
      reference.Hidden(RandomIds(kTokens, 5), kTokens, {.w = at::scalar_tensor(kW, at::kDouble)}));
  at::log_softmax(want, -1).select(1, 7).mean().backward();
  for (size_t m = 0; m < leaves.a.size(); ++m) {
    const DoubleReference::Module& module = reference.modules()[m];
    const at::Tensor a = at::cat({module.deployed.a.grad(), module.quarantine.a.grad()}, 0);
    const at::Tensor b = at::cat({module.deployed.b.grad(), module.quarantine.b.grad()}, 1);
    EXPECT_EQ(leaves.a[m].grad().scalar_type(), at::kFloat);
    EXPECT_LT(RelativeDifference({leaves.a[m].grad(), leaves.b[m].grad()}, {a, b}), 0.05) << "module " << m;
  }
}

}  // namespace
}  // namespace evilmoe
