#include "policy/fused/ops.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <ostream>

#include "network_fixtures.h"
#include "policy/attention.h"
#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/qwen3_weights.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

// Each fused part against ATen's in double precision: value, and the gradients of Σ c ⊙ value with random c.

using Tensors = std::vector<at::Tensor>;
using Compute = std::function<at::Tensor(const Tensors& inputs)>;

struct Outcome {
  at::Tensor value;
  Tensors gradients;
};

Outcome Differentiate(const Compute& compute, const Tensors& inputs, at::ScalarType dtype) {
  Tensors leaves;
  for (const at::Tensor& t : inputs) leaves.push_back(t.detach().to(dtype).clone().requires_grad_(true));
  const at::Tensor value = compute(leaves);
  const at::Tensor flat = value.flatten();
  const at::Tensor coefficients = NormalTensor(99, flat.numel(), 1, 1.0).squeeze(1).to(dtype);
  (flat * coefficients).sum().backward();
  Outcome out{value.detach().to(at::kDouble), {}};
  for (const at::Tensor& leaf : leaves) out.gradients.push_back(leaf.grad().to(at::kDouble));
  return out;
}

void ExpectSame(const Compute& fused, const Compute& reference, const Tensors& inputs) {
  const Outcome got = Differentiate(fused, inputs, at::kFloat), want = Differentiate(reference, inputs, at::kDouble);
  EXPECT_LT(RelativeDifference({got.value}, {want.value}), 2e-6);
  for (size_t i = 0; i < inputs.size(); ++i) {
    // Some are 0 by nature, as that of a score which is alone in its softmax.
    const double norm = std::max(1.0, want.gradients[i].norm().item<double>());
    EXPECT_LT((got.gradients[i] - want.gradients[i]).norm().item<double>(), 5e-6 * norm) << "input " << i;
  }
}

at::Tensor Random(uint64_t seed, at::IntArrayRef sizes) {
  return NormalTensor(seed, c10::multiply_integers(sizes), 1, 1.0).view(sizes);
}

TEST(FusedRmsNormTest, IsTheTextbookForm) {
  const at::Tensor weight = Random(1, {48}) + 1;
  ASSERT_TRUE(FusedRmsNormFits(Random(2, {7, 48}), weight));
  ExpectSame([&](const Tensors& in) { return FusedRmsNorm(in[0], weight, 1e-6); },
             [&](const Tensors& in) {
               return in[0] * (in[0].square().mean(-1, true) + 1e-6).rsqrt() * weight.to(at::kDouble);
             },
             {Random(2, {7, 48})});
}

TEST(FusedNormRotaryTest, IsNormThenRotation) {
  for (const int64_t width : {32, 64}) {
    Qwen3Config config;
    config.head_dim = width;
    config.rope_theta = 10000;
    const RotaryTables tables = Rotary(config, at::arange(3, 14));
    const at::Tensor weight = Random(3, {width}) + 1, x = Random(4, {11, 3, width});
    ASSERT_TRUE(FusedNormRotaryFits(x, weight));
    ExpectSame([&](const Tensors& in) { return FusedNormRotary(in[0], weight, 1e-6, tables.cos, tables.sin); },
               [&](const Tensors& in) {
                 const at::Tensor normed =
                     in[0] * (in[0].square().mean(-1, true) + 1e-6).rsqrt() * weight.to(at::kDouble);
                 return ApplyRotary(normed, tables);
               },
               {x});
  }
}

TEST(FusedSwigluTest, IsTheTextbookForm) {
  ExpectSame([](const Tensors& in) { return FusedSwiglu(in[0], in[1]); },
             [](const Tensors& in) { return in[0] * at::sigmoid(in[0]) * in[1]; },
             {3 * Random(5, {9, 80}), Random(6, {9, 80})});
}

TEST(FusedLinearTest, IsTheTextbookForm) {
  const at::Tensor weight = Random(7, {48, 32});
  ASSERT_TRUE(FusedLinearFits(Random(8, {130, 32}), weight));
  ExpectSame([&](const Tensors& in) { return FusedLinear(in[0], weight); },
             [&](const Tensors& in) { return at::linear(in[0], weight.to(at::kDouble)); }, {Random(8, {130, 32})});
}

// A vocabulary of more than one block of the head.
TEST(FusedScoresTest, AreTheTextbookForm) {
  const int64_t vocabulary = 8208, hidden = 160, tokens = 9;
  const at::Tensor head = NormalTensor(9, vocabulary, hidden, 0.1), targets = 900 * at::arange(tokens);
  ASSERT_TRUE(FusedLinearFits(Random(10, {tokens, hidden}), head));
  ExpectSame(
      [&](const Tensors& in) {
        return ScoreTokens(in[0], head, targets, {.temperature = 0.7, .chunk_rows = 4}).logp_N;
      },
      [&](const Tensors& in) {
        return at::log_softmax(at::linear(in[0], head.to(at::kDouble)) / 0.7, -1)
            .gather(1, targets.unsqueeze(1))
            .squeeze(1);
      },
      {Random(10, {tokens, hidden})});
}

TEST(FusedFitsTest, LeavesTheRestToAten) {
  const at::Tensor weight = Random(1, {48, 32}), x = Random(2, {5, 32});
  EXPECT_FALSE(FusedLinearFits(x.to(at::kDouble), weight.to(at::kDouble)));
  EXPECT_FALSE(FusedLinearFits(x, weight.detach().clone().requires_grad_(true)));
  EXPECT_FALSE(FusedLinearFits(Random(2, {5, 24}), Random(1, {48, 24})));
  EXPECT_FALSE(FusedLinearFits(x, Random(1, {40, 32})));
  EXPECT_FALSE(FusedLinearFits(x, Random(1, {32, 48}).t()));
  EXPECT_FALSE(FusedRmsNormFits(Random(1, {3, 24}), Random(2, {24})));
  EXPECT_FALSE(FusedNormRotaryFits(Random(1, {3, 2, 16}), Random(2, {16})));
  EXPECT_FALSE(FusedAttentionFits(Random(1, {3, 2, 8}), Random(2, {3, 1, 8})));
}

struct AttentionCase {
  std::string name;
  int64_t heads, kv_heads, width;
  std::vector<Segment> segments;
  std::vector<float> scale;  // empty: no factor on the gradient into the prefix
};

Segment Of(int64_t length, int prefix = -1) {
  return {.ids = std::vector<int32_t>(static_cast<size_t>(length)), .prefix = prefix};
}

void PrintTo(const AttentionCase& c, std::ostream* out) { *out << c.name; }

class FusedAttentionTest : public ::testing::TestWithParam<AttentionCase> {};

TEST_P(FusedAttentionTest, IsTheNaiveForm) {
  const AttentionCase& c = GetParam();
  const PackedBatch batch = Pack(c.segments);
  std::optional<at::Tensor> scale;
  if (!c.scale.empty()) scale = at::tensor(c.scale);
  const PackedAttention fused(batch, AttentionKind::kFused, scale), naive(batch, AttentionKind::kNaive, scale);
  const int64_t n = batch.num_tokens();
  const at::Tensor q = 2 * Random(1, {n, c.heads, c.width}), k = 2 * Random(2, {n, c.kv_heads, c.width});
  ASSERT_TRUE(FusedAttentionFits(q, k));
  ExpectSame([&](const Tensors& in) { return fused.Run(in[0], in[1], in[2]); },
             [&](const Tensors& in) { return naive.Run(in[0], in[1], in[2]); },
             {q, k, Random(3, {n, c.kv_heads, c.width})});
}

// A segment's rows do not depend on the other segments of its batch, to the bit.
TEST(FusedAttentionBitsTest, DoNotDependOnTheNeighbours) {
  const std::vector<Segment> alone = {Of(19), Of(7, 0)};
  const std::vector<Segment> among = {Of(19), Of(7, 0), Of(30, 0), Of(4), Of(9, 3)};
  const PackedBatch few = Pack(alone), many = Pack(among);
  const at::Tensor q = Random(1, {many.num_tokens(), 4, 32}), k = Random(2, {many.num_tokens(), 2, 32}),
                   v = Random(3, {many.num_tokens(), 2, 32});
  const int64_t n = few.num_tokens();
  const at::Tensor got =
      PackedAttention(few, AttentionKind::kFused, {}).Run(q.narrow(0, 0, n), k.narrow(0, 0, n), v.narrow(0, 0, n));
  EXPECT_TRUE(at::equal(got, PackedAttention(many, AttentionKind::kFused, {}).Run(q, k, v).narrow(0, 0, n)));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, FusedAttentionTest,
    ::testing::ValuesIn(std::vector<AttentionCase>{
        {"OneToken", 2, 1, 16, {Of(1)}, {}},
        {"RootsOfManyLengths", 4, 2, 32, {Of(5), Of(16), Of(17), Of(40), Of(1)}, {}},
        {"ASharedPrompt", 4, 2, 32, {Of(21), Of(3, 0), Of(33, 0), Of(16, 0)}, {}},
        {"ThinnedGradients", 4, 2, 32, {Of(21), Of(3, 0), Of(33, 0), Of(16, 0)}, {1, 0.25F, 0, 0.7F}},
        {"TwoFamiliesInterleaved", 6, 3, 16, {Of(9), Of(12), Of(5, 1), Of(8, 0), Of(2, 1)}, {1, 1, 0.5F, 0.1F, 1}},
        {"OneKvHeadForAll", 4, 1, 64, {Of(18), Of(7, 0)}, {}}}),
    [](const auto& c) { return c.param.name; });

// The whole network under the adapter: hidden states, gradients of A, B and w, and the router's features.
class FusedNetworkTest : public ::testing::TestWithParam<bool> {
 protected:
  static Qwen3Config Shape() {
    Qwen3Config config;
    config.vocab_size = 61;
    config.hidden_size = 48;
    config.num_layers = 2;
    config.num_heads = 4;
    config.num_kv_heads = 2;
    config.head_dim = 32;
    config.intermediate_size = 80;
    config.max_position_embeddings = 256;
    config.rope_theta = 10000;
    config.rms_norm_eps = 1e-6;
    config.tie_word_embeddings = true;
    return config;
  }
  FusedNetworkTest()
      : base_(InitQwen3(Shape(), 5)),
        adapter_(*Lora2r::Init(base_.config, {.rank = 3,
                                              .random_ab = GetParam(),
                                              .scale = 1.5,
                                              .targets = {"q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"}})) {
    for (const AdapterModule& m : adapter_.modules()) {
      m.a.add_(NormalTensor(100 + m.id.index(), m.a.size(0), m.a.size(1), 0.05));
      m.b.add_(NormalTensor(200 + m.id.index(), m.b.size(0), m.b.size(1), 0.05));
    }
  }

  struct Pass {
    at::Tensor logp, dw;
    Tensors gradients;
  };
  Pass Run(NetworkKernels kernels) const {
    const AdapterLeaves leaves = MakeLeaves(adapter_);
    Routing routing = RouteByWeight(w_S_);
    routing.w.requires_grad_(true);
    RoutedProjector projector(adapter_, leaves, RowsOf(routing, PromptRouting(false), owner_N_), kernels);
    const at::Tensor hidden =
        Qwen3Hidden(base_, batch_, projector, {.prefix_gradient_scale_S = at::cat({at::ones({1}), 1 - w_S_})});
    const at::Tensor logp = ScoreTokens(hidden, base_.head, (batch_.ids_N + 1) % 61, {}).logp_N;
    (logp * at::arange(1, logp.numel() + 1)).sum().backward();
    Pass pass{logp.detach(), routing.w.grad(), {}};
    for (const at::Tensor& a : leaves.a) pass.gradients.push_back(a.grad());
    for (const at::Tensor& b : leaves.b) pass.gradients.push_back(b.grad());
    return pass;
  }

  Qwen3Weights base_;
  Lora2r adapter_;
  const at::Tensor w_S_ = at::tensor({0.2F, 0.9F, 0.0F});
  const PackedBatch batch_ = Pack({{.ids = RandomIds(23, 1)},
                                   {.ids = RandomIds(9, 2), .prefix = 0},
                                   {.ids = RandomIds(140, 3), .prefix = 0},
                                   {.ids = RandomIds(1, 4), .prefix = 0}});
  const at::Tensor owner_N_ =
      at::cat({at::full({23}, 3), at::full({9}, 0), at::full({140}, 1), at::full({1}, 2)}).to(at::kLong);
};

TEST_P(FusedNetworkTest, RoutedPassIsAtens) {
  const Pass fused = Run(NetworkKernels::kFused), aten = Run(NetworkKernels::kAten);
  EXPECT_LT(MaxDifference(fused.logp, aten.logp), 2e-5);
  EXPECT_GT(MaxDifference(fused.logp, aten.logp), 0) << "both ran on the same kernels";
  EXPECT_LT(RelativeDifference({fused.dw}, {aten.dw}), 1e-4);
  EXPECT_LT(RelativeDifference(fused.gradients, aten.gradients), 1e-4);
}

TEST_P(FusedNetworkTest, AblatedPassIsAtens) {
  const c10::NoGradGuard no_grad;
  const at::Tensor rows = at::arange(23, 173, at::kLong), lengths = at::tensor({9.0F, 140.0F, 1.0F});
  Tensors hidden, features;
  for (const NetworkKernels kernels : {NetworkKernels::kFused, NetworkKernels::kAten}) {
    AblatedProjector ablated(adapter_, rows, owner_N_.narrow(0, 23, 150), lengths, kernels);
    hidden.push_back(Qwen3Hidden(base_, batch_, ablated));
    features.push_back(ablated.Features());
  }
  EXPECT_LT(MaxDifference(hidden[0], hidden[1]), 2e-5);
  EXPECT_GT(MaxDifference(hidden[0], hidden[1]), 0) << "both ran on the same kernels";
  EXPECT_LT(RelativeDifference({features[0]}, {features[1]}), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Init, FusedNetworkTest, ::testing::Bool(),
                         [](const auto& c) { return c.param ? "RandomAb" : "ZeroB"; });

}  // namespace
}  // namespace evilmoe
