#include "policy/lora2r.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/unit/policy_network/network_fixtures.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

// The adapter as a set of tensors. Its forward and gradients: invariants_test.cc.

class Lora2rTest : public ::testing::TestWithParam<bool> {  // random_ab or zero_b
 protected:
  Lora2rTest() : base_(TinyNetwork()), adapter_(Init(0)) {
    for (const AdapterModule& m : adapter_.modules()) {
      m.a.add_(NormalTensor(3, m.a.size(0), m.a.size(1), 0.05));
      m.b.add_(NormalTensor(4, m.b.size(0), m.b.size(1), 0.05));
    }
  }
  Lora2r Init(double scale) const {
    Lora2rOptions options = TinyAdapterOptions(GetParam());
    if (scale > 0) options.scale = scale;
    return *Lora2r::Init(base_.config, options);
  }
  // s · (B A − B0 A0) over rows [begin, begin + count) of the rank, in double.
  static at::Tensor Product(const Lora2r& adapter, const AdapterModule& m, int64_t begin, int64_t count) {
    const auto of = [&](const at::Tensor& b, const at::Tensor& a) {
      return at::mm(b.narrow(1, begin, count).to(at::kDouble), a.narrow(0, begin, count).to(at::kDouble));
    };
    return adapter.options().scale * (of(m.b, m.a) - of(m.b0, m.a0));
  }

  Qwen3Weights base_;
  Lora2r adapter_;
};
INSTANTIATE_TEST_SUITE_P(Inits, Lora2rTest, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

TEST_P(Lora2rTest, AnAdapterInAModeAddsWhatTheModeDoes) {
  const AdapterMode modes[] = {{.part = AdapterPart::kFull},
                               {.part = AdapterPart::kQuarantineOff},
                               {.part = AdapterPart::kDeployedOff},
                               {.part = AdapterPart::kRandomHalf, .projector_seed = 5, .strength = 2}};
  for (const AdapterMode& mode : modes) {
    const Lora2r other = adapter_.InMode(mode);
    for (size_t m = 0; m < adapter_.modules().size(); ++m) {
      const at::Tensor want = adapter_.Delta(adapter_.modules()[m], mode);
      const at::Tensor got = other.Delta(other.modules()[m], {.part = AdapterPart::kFull});
      EXPECT_LT((got - want).norm().item<double>(), 1e-5 * (1 + want.norm().item<double>()))
          << static_cast<int>(mode.part) << " module " << m;
    }
  }
}

TEST_P(Lora2rTest, DeltaOfAModeIsTheProductOfItsExperts) {
  const int64_t r = adapter_.rank();
  for (const AdapterModule& m : adapter_.modules()) {
    const at::Tensor d = Product(adapter_, m, 0, r), q = Product(adapter_, m, r, r);
    EXPECT_LT(MaxDifference(adapter_.Delta(m, {.part = AdapterPart::kFull}), d + q), 1e-6);
    EXPECT_LT(MaxDifference(adapter_.Delta(m, {.part = AdapterPart::kQuarantineOff}), d), 1e-6);
    EXPECT_LT(MaxDifference(adapter_.Delta(m, {.part = AdapterPart::kDeployedOff}), q), 1e-6);
    EXPECT_EQ(adapter_.Delta(m, {.part = AdapterPart::kBase}).abs().max().item<float>(), 0.0f);
    EXPECT_LT(MaxDifference(adapter_.Delta(m, 0.37), d + 0.37 * q), 1e-6);
  }
}

// BPA − B0PA0 under a Haar projector P of rank r: of half the adapter's rank, the same for a seed, another for another.
TEST_P(Lora2rTest, RandomHalfIsAProjectionOfTheAdapter) {
  const AdapterModule& m = adapter_.modules()[0];
  const auto half = [&](uint64_t seed, float strength) {
    return adapter_.Delta(m, {.part = AdapterPart::kRandomHalf, .projector_seed = seed, .strength = strength});
  };
  EXPECT_TRUE(at::equal(half(1, 1), half(1, 1)));
  EXPECT_GT(MaxDifference(half(1, 1), half(2, 1)), 1e-3);
  EXPECT_LT(MaxDifference(half(1, 2), 2 * half(1, 1)), 1e-6);
}

TEST_P(Lora2rTest, ScaleMultipliesBothProducts) {
  const Lora2r scaled = Init(2.5);
  for (size_t i = 0; i < scaled.modules().size(); ++i) {
    const AdapterModule& m = scaled.modules()[i];
    m.b.add_(1.0);
    EXPECT_LT(MaxDifference(scaled.Delta(m, 1.0), Product(scaled, m, 0, 2 * scaled.rank())), 1e-5);
  }
}

TEST_P(Lora2rTest, ACloneHasStorageOfItsOwn) {
  const Lora2r clone = adapter_.Clone();
  const at::Tensor before = clone.modules()[0].a.clone();
  adapter_.modules()[0].a.add_(1.0);
  EXPECT_TRUE(at::equal(clone.modules()[0].a, before));
}

TEST(DecayToInitTest, PullsTowardsTheInitAndWithoutOneTowardsZero) {
  const at::Tensor init = at::tensor({1.0f, -2.0f}), start = at::tensor({3.0f, 0.0f});
  at::Tensor p = start.clone();
  DecayToInit(p, init, 0.25);
  EXPECT_LT(MaxDifference(p, at::tensor({2.5f, -0.5f})), 1e-7);
  at::Tensor at_init = init.clone();
  DecayToInit(at_init, init, 0.25);
  EXPECT_TRUE(at::equal(at_init, init));
  at::Tensor free = start.clone();
  DecayToInit(free, at::Tensor(), 0.25);
  EXPECT_LT(MaxDifference(free, at::tensor({2.25f, 0.0f})), 1e-7);
}

}  // namespace
}  // namespace evilmoe
