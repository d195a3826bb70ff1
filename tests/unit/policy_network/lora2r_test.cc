#include "policy/lora2r.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "policy/lora2r_forward.h"
#include "policy/packed_batch.h"
#include "policy/qwen3.h"
#include "tests/unit/policy_network/tiny_network.h"

namespace evilmoe {
namespace {

// The invariants of algorithm.md §6 that the adapter alone decides: 1 to 7.

class Lora2rTest : public ::testing::TestWithParam<bool> {  // random_ab or zero_b
 protected:
  Lora2rTest() : base_(TinyNetwork()), adapter_(*Lora2r::Init(base_.config, TinyAdapterOptions(GetParam()))) {}

  void Perturb(uint64_t seed = 3) {
    for (const AdapterModule& m : adapter_.modules()) {
      const auto index = static_cast<uint64_t>(m.id.index());
      m.a.add_(NormalTensor(seed * 100 + index, m.a.size(0), m.a.size(1), 0.05));
      m.b.add_(NormalTensor(seed * 200 + index, m.b.size(0), m.b.size(1), 0.05));
    }
  }

  static PackedBatch OneSequence() { return Pack({Segment{.ids = {5, 9, 33, 2, 17, 40, 8}}}); }

  at::Tensor Hidden(Projector& projector) { return Qwen3Hidden(base_, OneSequence(), projector); }
  at::Tensor BaseHidden() {
    PlainProjector plain;
    return Hidden(plain);
  }
  // Every row at one w, with D's factor 1 − w.
  at::Tensor RoutedHidden(double w, AdapterLeaves& leaves) {
    const Lora2rConstants constants(base_, adapter_);
    const int64_t n = OneSequence().num_tokens();
    RoutedProjector routed(constants, leaves, RouteByWeight(at::full({n, 1}, w)));
    return Hidden(routed);
  }
  at::Tensor MergedHidden(AdapterPart part) {
    PlainProjector plain;
    return Qwen3Hidden(Merge(base_, adapter_, {.part = part}), OneSequence(), plain);
  }

  Qwen3Weights base_;
  Lora2r adapter_;
};

double MaxDifference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

double Norm(const std::vector<at::Tensor>& tensors, int64_t dim, int64_t begin, int64_t length) {
  double squares = 0;
  for (const at::Tensor& t : tensors) squares += t.grad().narrow(dim, begin, length).square().sum().item<double>();
  return std::sqrt(squares);
}

TEST_P(Lora2rTest, IsTheBaseModelAtInit) {
  AdapterLeaves leaves = MakeLeaves(adapter_);
  const double scale = BaseHidden().abs().max().item<double>();
  for (const double w : {0.0, 0.3, 1.0}) {
    EXPECT_LT(MaxDifference(RoutedHidden(w, leaves), BaseHidden()), 1e-5 * scale) << "w " << w;
  }
  // Merged weights add a difference of equal products: exactly the base.
  EXPECT_EQ(MaxDifference(MergedHidden(AdapterPart::kFull), BaseHidden()), 0.0);
}

TEST_P(Lora2rTest, AtWZeroIsTheAblatedModelAndTrainsTheDeployedExpertAlone) {
  Perturb();
  AdapterLeaves leaves = MakeLeaves(adapter_);
  const at::Tensor hidden = RoutedHidden(0.0, leaves);
  EXPECT_LT(MaxDifference(hidden, MergedHidden(AdapterPart::kQuarantineOff)), 1e-4);
  const Lora2rConstants constants(base_, adapter_);
  const int64_t n = OneSequence().num_tokens();
  AblatedProjector ablated(constants, at::arange(n, at::kLong), at::zeros({n}, at::kLong),
                           at::full({1}, static_cast<double>(n)));
  EXPECT_LT(MaxDifference(hidden, Hidden(ablated)), 1e-5);
  hidden.square().sum().backward();
  EXPECT_EQ(Norm(leaves.a, 0, 3, 3), 0.0);
  EXPECT_EQ(Norm(leaves.b, 1, 3, 3), 0.0);
  EXPECT_GT(Norm(leaves.a, 0, 0, 3), 1e-5);
  EXPECT_GT(Norm(leaves.b, 1, 0, 3), 1e-5);
}

TEST_P(Lora2rTest, AtWOneTrainsTheQuarantineAlone) {
  Perturb();
  AdapterLeaves leaves = MakeLeaves(adapter_);
  const at::Tensor hidden = RoutedHidden(1.0, leaves);
  EXPECT_LT(MaxDifference(hidden, MergedHidden(AdapterPart::kFull)), 1e-4);
  hidden.square().sum().backward();
  EXPECT_EQ(Norm(leaves.a, 0, 0, 3), 0.0);
  EXPECT_EQ(Norm(leaves.b, 1, 0, 3), 0.0);
  EXPECT_GT(Norm(leaves.a, 0, 3, 3), 1e-5);
}

TEST_P(Lora2rTest, AblationResetsTheQuarantineToItsInitAndNothingElse) {
  const Lora2r at_init = adapter_.Clone();
  adapter_.ResetQuarantine();
  EXPECT_EQ(MaxDifference(adapter_.modules()[0].a, at_init.modules()[0].a), 0.0);
  Perturb();
  const at::Tensor deployed = MergedHidden(AdapterPart::kQuarantineOff);
  const Lora2r perturbed = adapter_.Clone();
  adapter_.ResetQuarantine();
  for (size_t i = 0; i < adapter_.modules().size(); ++i) {
    const AdapterModule& m = adapter_.modules()[i];
    EXPECT_TRUE(at::equal(m.a.narrow(0, 3, 3), m.a0.narrow(0, 3, 3)));
    EXPECT_TRUE(at::equal(m.b.narrow(1, 3, 3), m.b0.narrow(1, 3, 3)));
    EXPECT_TRUE(at::equal(m.a.narrow(0, 0, 3), perturbed.modules()[i].a.narrow(0, 0, 3)));
  }
  EXPECT_LT(MaxDifference(MergedHidden(AdapterPart::kFull), deployed), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Inits, Lora2rTest, ::testing::Values(true, false),
                         [](const auto& c) { return c.param ? "random_ab" : "zero_b"; });

// One linear map, so that D's and Q's gradients can be compared with the unrouted ones.
class OneLinear : public ::testing::Test {
 protected:
  OneLinear() : base_(TinyNetwork()), adapter_(*Lora2r::Init(base_.config, TinyAdapterOptions())) {
    for (const AdapterModule& m : adapter_.modules()) {
      m.a.add_(NormalTensor(1, m.a.size(0), m.a.size(1), 0.1));
      m.b.add_(NormalTensor(2, m.b.size(0), m.b.size(1), 0.1));
    }
    x_ = NormalTensor(3, 5, base_.config.hidden_size, 1.0);
    upstream_ = NormalTensor(4, 5, base_.config.num_heads * base_.config.head_dim, 1.0);
  }

  struct Gradients {
    at::Tensor a, b, x, w;
  };
  Gradients Run(double w_value, double factor) {
    const Lora2rConstants constants(base_, adapter_);
    AdapterLeaves leaves = MakeLeaves(adapter_);
    const at::Tensor w = at::full({5, 1}, w_value).requires_grad_(true);
    const at::Tensor x = x_.clone().requires_grad_(true);
    const at::Tensor factors = at::full({5, 1}, factor);
    RoutedProjector routed(constants, leaves, {w, factors, factors});
    const at::Tensor out = routed.Project({0, Linear::kQuery}, x, base_.layers[0].linears[0]);
    (out * upstream_).sum().backward();
    return {leaves.a[0].grad(), leaves.b[0].grad(), x.grad(), w.grad()};
  }
  // out with dep's value frozen at weight 1: Wx + dep + w·quar, in double precision by the definition.
  at::Tensor Reference(const at::Tensor& x, double w) const {
    const AdapterModule& m = adapter_.modules()[0];
    const auto d = [](const at::Tensor& t) { return t.to(at::kDouble); };
    const auto part = [&](int64_t begin) {
      return at::mm(d(m.b).narrow(1, begin, 3), d(m.a).narrow(0, begin, 3)) -
             at::mm(d(m.b0).narrow(1, begin, 3), d(m.a0).narrow(0, begin, 3));
    };
    return at::mm(d(x), (d(base_.layers[0].linears[0]) + part(0) + w * part(3)).t());
  }

  Qwen3Weights base_;
  Lora2r adapter_;
  at::Tensor x_, upstream_;
};

TEST_F(OneLinear, DeployedGradientIsThinnedByOneMinusWAndQuarantineByW) {
  const Gradients full = Run(1.0, 1.0);  // unrouted: both experts with the whole gradient
  for (const double w : {0.25, 0.7}) {
    const Gradients routed = Run(w, 1 - w);
    EXPECT_LT(MaxDifference(routed.a.narrow(0, 0, 3), (1 - w) * full.a.narrow(0, 0, 3)), 1e-5);
    EXPECT_LT(MaxDifference(routed.b.narrow(1, 0, 3), (1 - w) * full.b.narrow(1, 0, 3)), 1e-5);
    EXPECT_LT(MaxDifference(routed.a.narrow(0, 3, 3), w * full.a.narrow(0, 3, 3)), 1e-5);
    EXPECT_LT(MaxDifference(routed.b.narrow(1, 3, 3), w * full.b.narrow(1, 3, 3)), 1e-5);
  }
}

TEST_F(OneLinear, GradientOfWAgreesWithFiniteDifferences) {
  const double w = 0.4, h = 1e-3;
  const at::Tensor up = upstream_.to(at::kDouble);
  const double difference = ((Reference(x_, w + h) - Reference(x_, w - h)) * up).sum().item<double>() / (2 * h);
  EXPECT_NEAR(Run(w, 1 - w).w.sum().item<double>(), difference, 1e-3 * std::abs(difference));
}

TEST_F(OneLinear, GradientOfWIsZeroWhileTheQuarantineIsAtItsInit) {
  adapter_.ResetQuarantine();
  EXPECT_LT(Run(0.4, 0.6).w.abs().max().item<double>(), 1e-5);
}

// sg(dep) stops the gradient into x as well: ∂out/∂x = W + (1−w)·dep' + w·quar'.
TEST_F(OneLinear, GradientOfTheInputFollowsTheDefinition) {
  const AdapterModule& m = adapter_.modules()[0];
  const auto part = [&](int64_t begin) {
    return at::mm(m.b.narrow(1, begin, 3), m.a.narrow(0, begin, 3)) -
           at::mm(m.b0.narrow(1, begin, 3), m.a0.narrow(0, begin, 3));
  };
  for (const double w : {0.0, 0.35, 1.0}) {
    const at::Tensor jacobian = base_.layers[0].linears[0] + (1 - w) * part(0) + w * part(3);
    EXPECT_LT(MaxDifference(Run(w, 1 - w).x, at::mm(upstream_, jacobian)), 1e-4) << "w " << w;
  }
}

// Invariant 6: packed rollouts with their own w, sharing a prompt, against one by one.
TEST(Lora2rPacking, AMixedBatchEqualsTheRolloutsOneByOne) {
  const Qwen3Weights base = TinyNetwork();
  Lora2r adapter = *Lora2r::Init(base.config, TinyAdapterOptions());
  for (const AdapterModule& m : adapter.modules()) m.b.add_(NormalTensor(2, m.b.size(0), m.b.size(1), 0.1));
  const Lora2rConstants constants(base, adapter);
  const AdapterLeaves leaves = MakeLeaves(adapter);
  const std::vector<int32_t> prompts[2] = {{4, 8, 15, 16}, {23, 42}};
  const std::vector<std::pair<int, std::vector<int32_t>>> completions = {
      {0, {3, 9, 27}}, {0, {1}}, {1, {2, 4, 8, 16, 32}}, {0, {7, 7}}};
  const double w[] = {0.9, 0.1, 0.5, 0.0};
  const c10::NoGradGuard no_grad;
  const auto run = [&](const std::vector<Segment>& segments, const std::vector<double>& segment_w) {
    const PackedBatch batch = Pack(segments);
    std::vector<float> rows;
    for (size_t s = 0; s < segments.size(); ++s)
      rows.insert(rows.end(), segments[s].ids.size(), static_cast<float>(segment_w[s]));
    const at::Tensor w_N1 = at::tensor(rows, at::kFloat).unsqueeze(1);
    RoutedProjector routed(constants, leaves, RouteByWeight(w_N1));
    const at::Tensor hidden = Qwen3Hidden(base, batch, routed);
    std::vector<at::Tensor> out;
    for (size_t s = 0; s < segments.size(); ++s) {
      out.push_back(
          hidden.narrow(0, batch.segment_begin(static_cast<int>(s)), batch.segment_length(static_cast<int>(s))));
    }
    return out;
  };
  std::vector<Segment> mixed = {{.ids = prompts[0]}, {.ids = prompts[1]}};
  std::vector<double> mixed_w = {0, 0};
  for (size_t i = 0; i < completions.size(); ++i) {
    mixed.push_back({.ids = completions[i].second, .prefix = completions[i].first});
    mixed_w.push_back(w[i]);
  }
  const std::vector<at::Tensor> together = run(mixed, mixed_w);
  for (size_t i = 0; i < completions.size(); ++i) {
    const std::vector<int32_t>& prompt = prompts[completions[i].first];
    const std::vector<at::Tensor> alone =
        run({{.ids = prompt}, {.ids = completions[i].second, .prefix = 0}}, {0, w[i]});
    EXPECT_LT(MaxDifference(together[i + 2], alone[1]), 1e-5) << "rollout " << i;
  }
}

}  // namespace
}  // namespace evilmoe
