#include "policy/recompute.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "policy/memory_watch.h"
#include "network_fixtures.h"
#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

const std::vector<Segment>& Segments() {
  static const std::vector<Segment> segments = {
      {RandomIds(9, 1)}, {RandomIds(12, 2), 0}, {RandomIds(7, 3), 0}, {RandomIds(5, 4)}};
  return segments;
}

at::Tensor LossOf(const Qwen3Weights& weights, const at::Tensor& hidden, const PackedBatch& batch) {
  return -ScoreTokens(hidden, weights.head, batch.ids_N.roll(1), {.chunk_rows = 8}).logp_N.sum();
}

class RecomputeLayers : public ::testing::Test {
 protected:
  // w of each row from a leaf of three: 1, 2 or the fixed 0.
  static at::Tensor RowsOf(const at::Tensor& w) {
    std::vector<int64_t> index;
    for (const auto& [count, row] : {std::pair{9, 2}, {12, 0}, {7, 1}, {5, 2}}) index.insert(index.end(), count, row);
    return at::cat({w, at::full({1}, 0.5)}).index_select(0, at::tensor(index, at::kLong)).unsqueeze(1);
  }

  const Qwen3Weights weights_ = RandomNetwork(4, 1);
  const PackedBatch batch_ = Pack(Segments());
};

TEST_F(RecomputeLayers, GradientsOfAdapterAndOfWAreEqual) {
  std::vector<std::vector<at::Tensor>> outcomes;
  at::Tensor dw[2];
  for (const bool recompute : {false, true}) {
    const at::Tensor w = at::tensor({0.3f, 0.8f}).requires_grad_(true);
    LowRankProjector projector(weights_, RowsOf(w));
    const at::Tensor hidden =
        Qwen3Hidden(weights_, batch_, projector,
                    {.prefix_gradient_scale_S = at::tensor({1.0f, 0.2f, 0.6f, 1.0f}), .recompute_layers = recompute});
    LossOf(weights_, hidden, batch_).backward();
    dw[recompute ? 1 : 0] = w.grad();
    outcomes.push_back(projector.TakeGradients());
    outcomes.back().push_back(hidden.detach());
  }
  for (size_t i = 0; i < outcomes[0].size(); ++i) EXPECT_TRUE(at::equal(outcomes[0][i], outcomes[1][i])) << i;
  // Each layer adds its own share of w's gradient, so the order of that sum differs.
  EXPECT_LT(RelativeDifference({dw[1]}, {dw[0]}), 1e-6);
}

TEST_F(RecomputeLayers, GradientsOfTheRoutedAdapterAreEqual) {
  Lora2rOptions options{.rank = 3, .seed = 7};
  options.targets = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
  const auto adapter = Lora2r::Init(weights_.config, options);
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  std::vector<at::Tensor> gradients[2];
  at::Tensor dw[2];
  for (const int recompute : {0, 1}) {
    const at::Tensor w = at::tensor({0.3f, 0.8f}).requires_grad_(true);
    const AdapterLeaves leaves = MakeLeaves(*adapter);
    RoutedProjector projector(*adapter, leaves, RouteByWeight(RowsOf(w)));
    const at::Tensor hidden = Qwen3Hidden(
        weights_, batch_, projector,
        {.prefix_gradient_scale_S = at::tensor({1.0f, 0.7f, 0.2f, 1.0f}), .recompute_layers = recompute == 1});
    LossOf(weights_, hidden, batch_).backward();
    dw[recompute] = w.grad();
    for (const at::Tensor& a : leaves.a) gradients[recompute].push_back(a.grad());
    for (const at::Tensor& b : leaves.b) gradients[recompute].push_back(b.grad());
  }
  for (size_t i = 0; i < gradients[0].size(); ++i) EXPECT_TRUE(at::equal(gradients[0][i], gradients[1][i])) << i;
  EXPECT_LT(MaxDifference(dw[1], dw[0]), 1e-6 + 1e-6 * dw[0].norm().item<double>());
}

TEST_F(RecomputeLayers, GradientsOfEveryWeightAreEqual) {
  std::vector<at::Tensor> gradients[2];
  for (const int recompute : {0, 1}) {
    const Qwen3Weights leaves = WithLeaves(weights_);
    PlainProjector plain;
    LossOf(leaves, Qwen3Hidden(leaves, batch_, plain, {.recompute_layers = recompute == 1}), batch_).backward();
    for (const auto& [name, leaf] : leaves.Named()) gradients[recompute].push_back(leaf.grad());
  }
  for (size_t i = 0; i < gradients[0].size(); ++i) EXPECT_TRUE(at::equal(gradients[0][i], gradients[1][i])) << i;
}

TEST_F(RecomputeLayers, NothingIsKeptWhereNothingNeedsAGradient) {
  PlainProjector plain;
  const at::Tensor want = Qwen3Hidden(weights_, batch_, plain);
  const at::Tensor got = Qwen3Hidden(weights_, batch_, plain, {.recompute_layers = true});
  EXPECT_TRUE(at::equal(got, want));
  std::vector<LayerKeysValues> layers;
  Qwen3Hidden(weights_, batch_, plain, {.recompute_layers = true, .keys_values = &layers});
  EXPECT_EQ(layers.size(), weights_.layers.size());
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(Qwen3Hidden(weights_, batch_, plain, {.recompute_layers = true}).requires_grad());
}

// What is alive between forward and backward is a layer's input a layer, whatever the layer's own width.
TEST_F(RecomputeLayers, KeepsOneInputALayer) {
  const auto kept = [&](bool recompute) {
    LowRankProjector projector(weights_, at::ones({batch_.num_tokens(), 1}));
    const MemoryWatch watch;
    const at::Tensor hidden = Qwen3Hidden(weights_, batch_, projector, {.recompute_layers = recompute});
    const int64_t now = watch.now_bytes();
    LossOf(weights_, hidden, batch_).backward();  // frees the graph while the watch sees it
    return now;
  };
  const int64_t row_bytes = weights_.config.hidden_size * 4;
  const int64_t inputs = weights_.config.num_layers * batch_.num_tokens() * row_bytes;
  const int64_t plain = kept(false), recomputed = kept(true);
  EXPECT_LE(recomputed, 4 * inputs);  // the layers' inputs; the final norm's, the rotary tables, indices and masks
  EXPECT_GT(plain, 10 * inputs);
}

TEST(Recompute, RunsTheFunctionAgainInTheBackwardPass) {
  const at::Tensor x = at::tensor({1.0f, 2.0f}).requires_grad_(true);
  const at::Tensor a = at::tensor({3.0f, -1.0f}).requires_grad_(true);
  int calls = 0;
  const at::Tensor y = Recompute(x, [&](const at::Tensor& in) {
    ++calls;
    return in * in * a;
  });
  EXPECT_EQ(calls, 1);
  y.sum().backward();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(at::equal(x.grad(), at::tensor({6.0f, -4.0f})));
  EXPECT_TRUE(at::equal(a.grad(), at::tensor({1.0f, 4.0f})));
}

TEST(Recompute, RefusesABackwardPassThatDoesNotAccumulate) {
  const at::Tensor x = at::tensor({1.0f, 2.0f}).requires_grad_(true);
  const at::Tensor y = Recompute(x, [](const at::Tensor& in) { return in * in; }).sum();
  EXPECT_THROW(torch::autograd::grad({y}, {x}), c10::Error);
}

}  // namespace
}  // namespace evilmoe
