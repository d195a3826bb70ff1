#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "policy/lora2r.h"
#include "policy/lora2r_forward.h"
#include "policy/routing.h"
#include "tests/unit/policy_network/double_reference.h"
#include "tests/unit/policy_network/invariants_fixture.h"
#include "tests/unit/policy_network/network_fixtures.h"

namespace evilmoe {
namespace {

// The invariants of the adapter (algorithm.md §6, 1 to 7), each for both inits and against DoubleReference.

INSTANTIATE_TEST_SUITE_P(Inits, InvariantsTest, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

TEST_P(InvariantsTest, Invariant1_AtInitItIsTheBaseModel) {
  const std::vector<int32_t> ids = InputIds(Rollouts()[0]);
  DoubleReference reference(base_);
  const at::Tensor want = reference.Logits(reference.Hidden(ids, static_cast<int64_t>(ids.size()), {}));
  const double largest = want.abs().max().item<double>();
  for (const double w : {0.0, 0.37, 1.0}) {
    EXPECT_LT(MaxDifference(RoutedLogits(w), want), 1e-5 * largest) << "w " << w;
    EXPECT_TRUE(at::equal(RoutedLogits(w), PlainLogits(base_))) << "w " << w;
    EXPECT_TRUE(at::equal(PlainLogits(Merge(base_, adapter_, w)), PlainLogits(base_))) << "merged at w " << w;
  }
}

TEST_P(InvariantsTest, Invariant2_AtWZeroItIsTheAblatedModelAndTrainsDAlone) {
  Train();
  const Pass ours = Ours(RolloutsAt(0));
  ExpectSame(ours, Reference(RolloutsAt(0)));
  adapter_.ResetQuarantine();
  ExpectSameLogProbs(ours, Reference(RolloutsAt(1)));  // whatever w
  EXPECT_EQ(LargestAbsolute(ours.quarantine), 0.0);
  EXPECT_GT(LargestAbsolute(ours.deployed), 1e-3);
}

TEST_P(InvariantsTest, Invariant3_AtWOneItTrainsQAlone) {
  Perturb(kRank);
  const Pass ours = Ours(RolloutsAt(1));
  ExpectSame(ours, Reference(RolloutsAt(1)));
  EXPECT_EQ(LargestAbsolute(ours.deployed), 0.0);
  EXPECT_GT(LargestAbsolute(ours.quarantine), 1e-3);
}

TEST_P(InvariantsTest, Invariant5_GradientOfWIsThatOfTheDefinitionWithBarredTermsHeldStill) {
  Train();
  const Pass ours = Ours(Rollouts());
  DoubleReference reference(base_, adapter_);
  const c10::NoGradGuard no_grad;
  for (size_t s = 0; s < Rollouts().size(); ++s) {
    const Rollout& rollout = Rollouts()[s];
    FrozenTerms frozen;
    const auto loss_at = [&](double w) {
      const auto rows = static_cast<int64_t>(rollout.completion.size());
      const std::vector<int32_t> ids = InputIds(rollout);
      const at::Tensor hidden =
          reference.Hidden(ids, rows, {.w = at::scalar_tensor(w, at::kDouble), .frozen = &frozen});
      const at::Tensor logp =
          reference.LogProbs(hidden.narrow(0, hidden.size(0) - rows, rows), rollout.completion);
      return LossOf(s, logp).item<double>();
    };
    loss_at(rollout.w);  // fills `frozen`
    constexpr double kStep = 1e-4;
    const double difference = (loss_at(rollout.w + kStep) - loss_at(rollout.w - kStep)) / (2 * kStep);
    EXPECT_NEAR(ours.dl_dw[s], difference, 1e-4 * (1e-2 + std::abs(difference))) << "rollout " << s;
    EXPECT_GT(std::abs(difference), 1e-4) << "rollout " << s;
  }
}

TEST_P(InvariantsTest, Invariant5_GradientOfWIsExactlyZeroWhileQIsAtItsInit) {
  Perturb(0);
  for (const double dl_dw : Ours(Rollouts()).dl_dw) EXPECT_EQ(dl_dw, 0.0);
}

TEST_P(InvariantsTest, Invariant6_AMixedBatchIsItsRolloutsOneByOne) {
  Train();
  const Pass together = Ours(Rollouts());
  ExpectSame(together, Reference(Rollouts()));
  for (size_t s = 0; s < Rollouts().size(); ++s)
    EXPECT_LT(MaxDifference(together.logp[s], Ours({Rollouts()[s]}).logp[0]), 1e-5) << "rollout " << s;
}

TEST_P(InvariantsTest, Invariant7_AblationRemovesQAndComesBackBitForBit) {
  const at::Tensor at_init = RoutedLogits(1);
  adapter_.ResetQuarantine();
  EXPECT_TRUE(at::equal(RoutedLogits(1), at_init)) << "no-op at init";

  Perturb(0);
  const Pass deployed_alone = Reference(RolloutsAt(1));
  Perturb(kRank);
  const Lora2r trained = adapter_.Clone();
  const at::Tensor before = RoutedLogits(1);
  adapter_.ResetQuarantine();
  ExpectSameLogProbs(Ours(RolloutsAt(1)), deployed_alone);
  EXPECT_GT(MaxDifference(RoutedLogits(1), before), 1e-2);
  for (size_t m = 0; m < adapter_.modules().size(); ++m) {
    const AdapterModule& now = adapter_.modules()[m];
    EXPECT_TRUE(at::equal(now.a.narrow(0, kRank, kRank), now.a0.narrow(0, kRank, kRank)));
    EXPECT_TRUE(at::equal(now.b.narrow(1, kRank, kRank), now.b0.narrow(1, kRank, kRank)));
    EXPECT_TRUE(at::equal(now.a.narrow(0, 0, kRank), trained.modules()[m].a.narrow(0, 0, kRank)));
    EXPECT_TRUE(at::equal(now.b.narrow(1, 0, kRank), trained.modules()[m].b.narrow(1, 0, kRank)));
  }
  adapter_ = trained.Clone();
  EXPECT_TRUE(at::equal(RoutedLogits(1), before)) << "restored";
}

// Invariant 4 and the definition's gradient of x, on one linear map, where the upstream gradient is given.
class OneLinearTest : public InvariantsTest {
 protected:
  OneLinearTest() {
    Train();
    x_ = NormalTensor(3, 5, base_.config.hidden_size, 1.0);
    upstream_ = NormalTensor(4, 5, base_.config.num_heads * base_.config.head_dim, 1.0);
  }
  struct Gradients {
    std::vector<at::Tensor> deployed, quarantine;
    at::Tensor x;
  };
  Gradients Routed(double w, double factor) const {
    const AdapterLeaves leaves = MakeLeaves(adapter_);
    const at::Tensor x = x_.clone().requires_grad_(true);
    const at::Tensor factors = at::full({5, 1}, factor);
    RoutedProjector routed(adapter_, leaves, {at::full({5, 1}, w), factors, factors});
    (routed.Project({0, Linear::kQuery}, x, base_.layers[0].linears[0]) * upstream_).sum().backward();
    const at::Tensor a = leaves.a[0].grad(), b = leaves.b[0].grad();
    return {{a.narrow(0, 0, kRank), b.narrow(1, 0, kRank)},
            {a.narrow(0, kRank, kRank), b.narrow(1, kRank, kRank)},
            x.grad()};
  }
  // ∂⟨W x + dep + quar, upstream⟩ of one expert's A and B, and its part of ∂out/∂x, in double by hand.
  struct Unrouted {
    std::vector<at::Tensor> ab;
    at::Tensor jacobian;  // (out, in)
  };
  Unrouted ByHand(int64_t begin) const {
    const AdapterModule& m = adapter_.modules()[0];
    const auto a = [&](const at::Tensor& t) { return t.narrow(0, begin, kRank).to(at::kDouble); };
    const auto b = [&](const at::Tensor& t) { return t.narrow(1, begin, kRank).to(at::kDouble); };
    const at::Tensor g = upstream_.to(at::kDouble), x = x_.to(at::kDouble);
    return {{at::mm(at::mm(g, b(m.b)).t(), x), at::mm(g.t(), at::mm(x, a(m.a).t()))},
            at::mm(b(m.b), a(m.a)) - at::mm(b(m.b0), a(m.a0))};
  }

  at::Tensor x_, upstream_;
};
INSTANTIATE_TEST_SUITE_P(Inits, OneLinearTest, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

TEST_P(OneLinearTest, Invariant4_DHasOneMinusWOfTheUnroutedGradientAndQHasW) {
  const Unrouted d = ByHand(0), q = ByHand(kRank);
  for (const double w : {0.0, 0.25, 0.7, 1.0}) {
    const Gradients routed = Routed(w, 1 - w);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_LT(Relative({routed.deployed[i]}, {(1 - w) * d.ab[i]}), 1e-5) << "w " << w;
      EXPECT_LT(Relative({routed.quarantine[i]}, {w * q.ab[i]}), 1e-5) << "w " << w;
    }
  }
}

// sg(dep) stops the gradient into x as well: ∂out/∂x = W + (1−w)·dep' + w·quar'.
TEST_P(OneLinearTest, GradientOfTheInputFollowsTheDefinition) {
  const at::Tensor weight = base_.layers[0].linears[0].to(at::kDouble);
  for (const double w : {0.0, 0.35, 1.0}) {
    const at::Tensor jacobian = weight + (1 - w) * ByHand(0).jacobian + w * ByHand(kRank).jacobian;
    EXPECT_LT(Relative({Routed(w, 1 - w).x}, {at::mm(upstream_.to(at::kDouble), jacobian)}), 1e-5) << "w " << w;
  }
}

}  // namespace
}  // namespace evilmoe
