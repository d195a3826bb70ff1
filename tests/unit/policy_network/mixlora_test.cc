#include "policy/mixlora.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "network_fixtures.h"
#include "policy/mixlora_forward.h"
#include "policy/qwen3.h"
#include "policy/safetensors.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

const std::vector<std::string> kAllTargets = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                              "gate_proj", "up_proj", "down_proj"};

MixLoraOptions Options(int experts, int top_k) {
  return {.rank = 3, .experts = experts, .top_k = top_k, .scale = 0.5, .seed = 7, .targets = kAllTargets};
}

MixLora Made(const Qwen3Config& config, const MixLoraOptions& options, double perturbation) {
  const c10::NoGradGuard no_grad;
  auto adapter = MixLora::Init(config, options);
  EXPECT_TRUE(adapter.ok()) << adapter.status();
  uint64_t seed = 50;
  for (const auto& [name, tensor] : adapter->Named()) {
    tensor.add_(NormalTensor(seed++, tensor.size(0), tensor.numel() / tensor.size(0), perturbation).view_as(tensor));
  }
  return *std::move(adapter);
}

// The definition, token by token and expert by expert, with each expert's weights written out; double precision.
class NaiveMlp {
 public:
  NaiveMlp(const LayerWeights& base, const MixLora& adapter, int layer)
      : options_(adapter.options()), router_(Leaf(adapter.layers()[static_cast<size_t>(layer)].router)) {
    for (const Linear linear : {Linear::kGate, Linear::kUp, Linear::kDown}) {
      const auto l = static_cast<size_t>(linear);
      base_[l] = base.linears[l].detach().to(at::kDouble);
      a_[l] = Leaf(adapter.layers()[static_cast<size_t>(layer)].loras[l].a);
      b_[l] = Leaf(adapter.layers()[static_cast<size_t>(layer)].loras[l].b);
    }
  }

  at::Tensor Run(const at::Tensor& x_NH) {
    const int64_t n = x_NH.size(0);
    std::vector<at::Tensor> rows;
    std::vector<double> dispatches(static_cast<size_t>(options_.experts), 0.0);
    at::Tensor probability_sum = at::zeros({options_.experts}, at::kDouble);
    for (int64_t t = 0; t < n; ++t) {
      const at::Tensor x = x_NH[t];
      const at::Tensor exponentials = at::exp(at::matmul(router_, x));
      const at::Tensor p = exponentials / exponentials.sum();
      probability_sum = probability_sum + p;
      std::vector<int64_t> by_probability(static_cast<size_t>(options_.experts));
      std::iota(by_probability.begin(), by_probability.end(), 0);
      std::sort(by_probability.begin(), by_probability.end(),
                [&](int64_t i, int64_t j) { return p[i].item<double>() > p[j].item<double>(); });
      by_probability.resize(static_cast<size_t>(options_.top_k));
      at::Tensor total = at::zeros({}, at::kDouble), out = at::zeros({x.size(0)}, at::kDouble);
      for (const int64_t e : by_probability) {
        ++dispatches[static_cast<size_t>(e)];
        total = total + p[e];
        out = out + p[e] * Expert(e, x);
      }
      rows.push_back(out / total);
    }
    const at::Tensor f = at::tensor(dispatches, at::kDouble) / static_cast<double>(n * options_.top_k);
    balance_ = (f * probability_sum / static_cast<double>(n)).sum() * static_cast<double>(options_.experts);
    return at::stack(rows);
  }
  const at::Tensor& balance() const { return balance_; }

  std::vector<at::Tensor> Gradients() const {
    std::vector<at::Tensor> gradients = {router_.grad()};
    for (const Linear linear : {Linear::kGate, Linear::kUp, Linear::kDown}) {
      gradients.push_back(a_[static_cast<size_t>(linear)].grad());
      gradients.push_back(b_[static_cast<size_t>(linear)].grad());
    }
    return gradients;
  }

 private:
  static at::Tensor Leaf(const at::Tensor& t) { return t.detach().to(at::kDouble).requires_grad_(true); }
  at::Tensor Weight(Linear linear, int64_t e) const {
    const auto l = static_cast<size_t>(linear);
    return base_[l] + options_.scale * at::matmul(b_[l][e], a_[l][e]);
  }
  at::Tensor Expert(int64_t e, const at::Tensor& x) const {
    const at::Tensor gate = at::matmul(Weight(Linear::kGate, e), x);
    return at::matmul(Weight(Linear::kDown, e), gate / (1 + at::exp(-gate)) * at::matmul(Weight(Linear::kUp, e), x));
  }

  const MixLoraOptions options_;
  at::Tensor router_, balance_;
  std::array<at::Tensor, kNumLinears> base_, a_, b_;
};

struct ShapeCase {
  const char* name;
  int experts;
  int top_k;
};

class MixLoraMlp : public ::testing::TestWithParam<ShapeCase> {};

TEST_P(MixLoraMlp, ValuesAndGradientsAreTheDefinitions) {
  const Qwen3Weights base = RandomNetwork(4, 2);
  const MixLora adapter = Made(base.config, Options(GetParam().experts, GetParam().top_k), 0.3);
  const MixLora leaves = adapter.Leaves();
  const double balance_gradient = 0.7;
  MixLoraProjector projector(leaves, balance_gradient);
  NaiveMlp naive(base.layers[1], adapter, 1);
  const at::Tensor x = NormalTensor(3, 23, base.config.hidden_size, 1.0).requires_grad_(true);
  const at::Tensor wide_x = x.detach().to(at::kDouble).requires_grad_(true);
  const at::Tensor upstream = NormalTensor(4, 23, base.config.hidden_size, 1.0);

  const at::Tensor got = projector.Mlp(1, x, base.layers[1]);
  const at::Tensor want = naive.Run(wide_x);
  EXPECT_LT(MaxDifference(got, want), 1e-5 * want.abs().max().item<double>());
  EXPECT_NEAR(projector.BalanceLoss(), naive.balance().item<double>(), 1e-5);

  (got * upstream).sum().backward();
  ((want * upstream.to(at::kDouble)).sum() + balance_gradient * naive.balance()).backward();
  const MixLoraLayer& layer = leaves.layers()[1];
  std::vector<at::Tensor> gradients = {layer.router.grad()};
  for (const Linear linear : {Linear::kGate, Linear::kUp, Linear::kDown}) {
    gradients.push_back(layer.loras[static_cast<size_t>(linear)].a.grad());
    gradients.push_back(layer.loras[static_cast<size_t>(linear)].b.grad());
  }
  gradients.push_back(x.grad());
  std::vector<at::Tensor> wanted = naive.Gradients();
  wanted.push_back(wide_x.grad());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_GT(wanted[i].norm().item<double>(), 0.0) << i;
    EXPECT_LT(RelativeDifference({gradients[i]}, {wanted[i]}), 1e-5) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, MixLoraMlp,
                         ::testing::ValuesIn(std::vector<ShapeCase>{
                             {"TopTwoOfEight", 8, 2}, {"TopTwoOfThree", 3, 2}, {"AllOfFour", 4, 4}}),
                         [](const auto& c) { return c.param.name; });

class MixLoraNetwork : public ::testing::Test {
 protected:
  MixLoraNetwork() : base_(RandomNetwork(4, 2)) {}

  at::Tensor Hidden(Projector& projector, const std::vector<Segment>& segments, bool recompute = false) const {
    return Qwen3Hidden(base_, Pack(segments), projector, {.recompute_layers = recompute});
  }

  const Qwen3Weights base_;
  const std::vector<Segment> segments_ = {{RandomIds(9, 1)}, {RandomIds(12, 2), 0}, {RandomIds(5, 4)}};
};

TEST_F(MixLoraNetwork, IsTheBaseModelAtInit) {
  const auto adapter = MixLora::Init(base_.config, Options(8, 2));
  ASSERT_TRUE(adapter.ok()) << adapter.status();
  MixLoraProjector projector(*adapter, 0);
  PlainProjector plain;
  const at::Tensor want = Hidden(plain, segments_);
  EXPECT_LT(MaxDifference(Hidden(projector, segments_), want), 1e-5 * want.abs().max().item<double>());
}

// A single expert takes every token at weight 1: an ordinary LoRA, merged here.
TEST_F(MixLoraNetwork, OneExpertIsAPlainLora) {
  const MixLora adapter = Made(base_.config, Options(1, 1), 0.2);
  MixLoraProjector projector(adapter, 0);
  Qwen3Weights merged = base_;
  for (size_t i = 0; i < merged.layers.size(); ++i) {
    for (size_t l = 0; l < kNumLinears; ++l) {
      const LoraPair& pair = adapter.layers()[i].loras[l];
      const at::Tensor a = pair.a.dim() == 3 ? pair.a[0] : pair.a, b = pair.b.dim() == 3 ? pair.b[0] : pair.b;
      merged.layers[i].linears[l] = merged.layers[i].linears[l] + 0.5 * at::mm(b, a);
    }
  }
  PlainProjector plain;
  const at::Tensor want = Qwen3Hidden(merged, Pack(segments_), plain);
  EXPECT_LT(MaxDifference(Hidden(projector, segments_), want), 1e-5 * want.abs().max().item<double>());
  EXPECT_NEAR(projector.BalanceLoss(), static_cast<double>(base_.config.num_layers), 1e-6);
}

TEST_F(MixLoraNetwork, ARolloutDoesNotSeeItsNeighbours) {
  const MixLora adapter = Made(base_.config, Options(6, 2), 0.3);
  MixLoraProjector projector(adapter, 0);
  const at::Tensor together = Hidden(projector, segments_);
  const at::Tensor alone = Hidden(projector, {segments_[2]});
  EXPECT_LT(MaxDifference(together.narrow(0, 21, 5), alone), 1e-5);
}

TEST_F(MixLoraNetwork, RecomputedLayersGiveTheSameGradientsBalanceIncluded) {
  const MixLora adapter = Made(base_.config, Options(6, 2), 0.3);
  std::vector<at::Tensor> gradients[3];
  for (const int run : {0, 1, 2}) {  // plain, recomputed, without the balance loss
    const MixLora leaves = adapter.Leaves();
    MixLoraProjector projector(leaves, run == 2 ? 0.0 : 0.9);
    const PackedBatch batch = Pack(segments_);
    const at::Tensor hidden = Hidden(projector, segments_, run == 1);
    (-ScoreTokens(hidden, base_.head, batch.ids_N.roll(1), {.chunk_rows = 8}).logp_N.mean()).backward();
    for (const auto& [name, leaf] : leaves.Named()) gradients[run].push_back(leaf.grad());
  }
  for (size_t i = 0; i < gradients[0].size(); ++i) EXPECT_TRUE(at::equal(gradients[0][i], gradients[1][i])) << i;
  EXPECT_GT(RelativeDifference({gradients[0][0]}, {gradients[2][0]}), 1e-2) << "the balance loss reaches the router";
}

TEST_F(MixLoraNetwork, BalanceLossIsOneInBalanceAndEWhenOneExpertTakesAll) {
  const auto adapter = MixLora::Init(base_.config, Options(4, 1));
  ASSERT_TRUE(adapter.ok());
  const c10::NoGradGuard no_grad;
  const at::Tensor x = at::eye(base_.config.hidden_size);  // token t reads column t of the router
  const at::Tensor& router = adapter->layers()[0].router;
  MixLoraProjector projector(*adapter, 0);
  router.zero_();
  for (int64_t t = 0; t < x.size(0); ++t) router[t % 4][t] = 1.0;
  projector.Mlp(0, x, base_.layers[0]);
  EXPECT_NEAR(projector.BalanceLoss(), 1.0, 1e-6);
  router.zero_();
  router[2].fill_(50.0);
  projector.Mlp(0, x, base_.layers[0]);
  EXPECT_NEAR(projector.BalanceLoss(), 4.0, 1e-6);
  EXPECT_EQ(projector.dispatches()[0], (std::vector<int64_t>{0, 0, x.size(0), 0}));
}

// Values and gradients: groups in one batch as each in a batch of its own, their rows anywhere.
TEST_F(MixLoraNetwork, EachGroupIsBalancedForItself) {
  const MixLora adapter = Made(base_.config, Options(6, 2), 0.3);
  const at::Tensor x = NormalTensor(3, 20, base_.config.hidden_size, 1.0);
  const at::Tensor group = at::tensor({0, 0, 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0}, at::kLong);
  const auto router_gradient = [&](const at::Tensor& rows, BalanceGroups groups, double& loss) {
    const MixLora leaves = adapter.Leaves();
    MixLoraProjector projector(leaves, 0.9, std::move(groups));
    (projector.Mlp(0, rows, base_.layers[0]) * 0).sum().backward();
    loss = projector.BalanceLoss();
    return leaves.layers()[0].router.grad();
  };
  double together = 0, first = 0, second = 0, as_one = 0;
  const at::Tensor got = router_gradient(x, {.group_N = group, .count = 2}, together);
  const at::Tensor want = router_gradient(x.index_select(0, at::nonzero(group == 0).flatten()), {}, first) +
                          router_gradient(x.index_select(0, at::nonzero(group == 1).flatten()), {}, second);
  EXPECT_NEAR(together, first + second, 1e-5);
  EXPECT_LT(RelativeDifference({got}, {want}), 1e-5);
  router_gradient(x, {}, as_one);
  EXPECT_GT(std::abs(together - 2 * as_one), 1e-3);
}

TEST_F(MixLoraNetwork, Bfloat16StaysNearFloat32) {
  const MixLora adapter = Made(base_.config, Options(6, 2), 0.1);
  const Qwen3Weights rounded = ConvertQwen3(base_, at::kBFloat16);
  const c10::NoGradGuard no_grad;
  const at::Tensor x = NormalTensor(3, 23, base_.config.hidden_size, 1.0).to(at::kBFloat16);
  MixLoraProjector projector(adapter, 0);
  const at::Tensor got = projector.Mlp(0, x, rounded.layers[0]);
  ASSERT_EQ(got.scalar_type(), at::kBFloat16);
  NaiveMlp naive(rounded.layers[0], adapter, 0);
  const at::Tensor want = naive.Run(x.to(at::kDouble));
  EXPECT_LT(MaxDifference(got.to(at::kDouble), want), 0.02 * want.abs().max().item<double>());
}

struct BadOptionsCase {
  const char* name;
  MixLoraOptions options;
  const char* message;
};

TEST(MixLora, RefusesBadOptionsByName) {
  const std::vector<BadOptionsCase> cases = {
      {"rank", {.rank = 0, .targets = kAllTargets}, "adapter.rank: 0, expected [1, 1024]"},
      {"experts", {.experts = 0, .targets = kAllTargets}, "routing.experts: 0"},
      {"top_k", {.experts = 4, .top_k = 5, .targets = kAllTargets}, "routing.top_k: 5, expected [1, 4]"},
      {"unknown", {.targets = {"up_proj", "lm_head"}}, "unknown module lm_head"},
      {"no MLP", {.targets = {"q_proj"}}, "adapter.targets: none of gate_proj"}};
  for (const BadOptionsCase& c : cases) {
    const auto adapter = MixLora::Init(RandomNetwork(4, 2).config, c.options);
    EXPECT_EQ(adapter.status().code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(std::string(adapter.status().message()), HasSubstr(c.message));
  }
}

// Files.

TEST(MixLoraFile, SurvivesBitForBitAndListsItsArraysInOrder) {
  const Qwen3Config config = RandomNetwork(4, 2).config;
  const MixLora adapter = Made(config, Options(4, 2), 0.1);
  const auto bytes = adapter.Serialize({.run_id = "R", .step = 3, .config_sha256 = "ab"});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, *adapter.Serialize({.run_id = "R", .step = 3, .config_sha256 = "ab"}));
  const auto back = MixLora::Deserialize(config, *bytes);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->options().top_k, 2);
  EXPECT_EQ(back->options().scale, 0.5);
  EXPECT_EQ(back->options().seed, 7u);
  EXPECT_EQ(back->options().targets, kAllTargets);
  const auto want = adapter.Named(), got = back->Named();
  const auto arrays = MixLora::Arrays(config, Options(4, 2));
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  ASSERT_EQ(got.size(), want.size());
  ASSERT_EQ(arrays->size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].first, want[i].first);
    EXPECT_EQ((*arrays)[i].name, want[i].first);
    EXPECT_EQ(at::IntArrayRef((*arrays)[i].shape), want[i].second.sizes());
    EXPECT_TRUE(at::equal(got[i].second, want[i].second)) << want[i].first;
  }
}

TEST(MixLoraFile, RefusesWhatIsNotOneOrIsOfAnotherNetwork) {
  using Tensors = std::map<std::string, TensorView>;
  const Qwen3Config config = RandomNetwork(4, 2).config;
  const std::string good = *Made(config, Options(4, 2), 0.1).Serialize();
  struct Case {
    std::function<void(Tensors&, AdapterFields&)> edit;
    absl::StatusCode code;
    const char* says;
  };
  const std::vector<Case> cases = {
      {[](Tensors&, AdapterFields& f) { f["format"] = "evilmoe.lora2r"; }, absl::StatusCode::kDataLoss,
       "expected evilmoe.mixlora"},
      {[](Tensors&, AdapterFields& f) { f["version"] = "2"; }, absl::StatusCode::kDataLoss, "use a newer one"},
      {[](Tensors&, AdapterFields& f) { f["top_k"] = "5"; }, absl::StatusCode::kDataLoss,
       "routing.top_k: 5, expected [1, 4]"},
      {[](Tensors&, AdapterFields& f) { f["rank"] = "-1"; }, absl::StatusCode::kDataLoss,
       "rank -1 in the metadata, expected at least 1"},
      {[](Tensors&, AdapterFields& f) { f["experts"] = "256"; }, absl::StatusCode::kInvalidArgument,
       "layers.0.router has shape [4, 24], this network expects [256, 24]"},
      {[](Tensors& t, AdapterFields&) { t.erase("layers.1.up_proj.lora_B"); }, absl::StatusCode::kDataLoss,
       "layers.1.up_proj.lora_B is missing"},
      {[](Tensors& t, AdapterFields&) { t["extra"] = t.begin()->second; }, absl::StatusCode::kInvalidArgument,
       "arrays, this network expects"}};
  for (const Case& c : cases) {
    const Safetensors file = *Safetensors::Parse(good);
    Tensors tensors = file.tensors();
    AdapterFields fields = file.metadata();
    c.edit(tensors, fields);
    const absl::Status status = MixLora::Deserialize(config, *WriteSafetensors(tensors, fields)).status();
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.says));
  }
  EXPECT_EQ(MixLora::Deserialize(config, good.substr(0, good.size() / 2)).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace evilmoe
