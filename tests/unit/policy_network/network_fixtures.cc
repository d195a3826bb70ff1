#include "network_fixtures.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "common/seed.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr int64_t kRank = 3;
constexpr int64_t kVocabulary = 61;

}  // namespace

Qwen3Weights RandomNetwork(int64_t num_heads, int64_t num_kv_heads, uint64_t seed) {
  Qwen3Config config;
  config.vocab_size = kVocabulary;
  config.hidden_size = 24;
  config.num_layers = 3;
  config.num_heads = num_heads;
  config.num_kv_heads = num_kv_heads;
  config.head_dim = 8;
  config.intermediate_size = 40;
  config.max_position_embeddings = 256;
  config.rope_theta = 10000;
  config.rms_norm_eps = 1e-6;
  config.tie_word_embeddings = false;
  Qwen3Weights weights = InitQwen3(config, seed);
  weights.embedding = weights.embedding * 10;
  weights.head = weights.head * 10;
  return weights;
}

std::vector<int32_t> RandomIds(int64_t count, uint64_t seed) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(StreamSeed(seed, "ids", static_cast<uint64_t>(i)) % kVocabulary));
  }
  return ids;
}

Qwen3Weights WithLeaves(const Qwen3Weights& weights) {
  Qwen3Weights copy = weights;
  const auto leaf = [](at::Tensor& t) { t = t.detach().clone().requires_grad_(true); };
  leaf(copy.embedding);
  for (LayerWeights& layer : copy.layers) {
    for (at::Tensor* t : {&layer.input_norm, &layer.attention_norm, &layer.query_norm, &layer.key_norm}) leaf(*t);
    for (at::Tensor& t : layer.linears) leaf(t);
  }
  leaf(copy.final_norm);
  if (weights.config.tie_word_embeddings) {
    copy.head = copy.embedding;
  } else {
    leaf(copy.head);
  }
  return copy;
}

LowRankProjector::LowRankProjector(const Qwen3Weights& weights, at::Tensor w_N1, uint64_t seed)
    : w_N1_(std::move(w_N1)) {
  for (const LayerWeights& layer : weights.layers) {
    for (const at::Tensor& linear : layer.linears) {
      for (const auto& [rows, columns] : {std::pair{kRank, linear.size(1)}, std::pair{linear.size(0), kRank}}) {
        at::Tensor leaf = NormalTensor(StreamSeed(seed, "leaf", leaves_.size()), rows, columns, 0.2);
        leaves_.push_back(leaf.to(linear.scalar_type()).requires_grad_(true));
      }
    }
  }
}

at::Tensor LowRankProjector::Project(ModuleId module, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  const size_t a = 2 * static_cast<size_t>(module.index());
  return at::linear(x_NI, weight_OI) + at::linear(at::linear(x_NI, leaves_[a]), leaves_[a + 1]) * w_N1_;
}

std::vector<at::Tensor> LowRankProjector::TakeGradients() {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& leaf : leaves_) {
    EVILMOE_CHECK(leaf.grad().defined());
    gradients.push_back(leaf.grad().clone());
    leaf.mutable_grad().reset();
  }
  return gradients;
}

double MaxDifference(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

double RelativeDifference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  EVILMOE_CHECK(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const at::Tensor want = b[i].to(at::kDouble);
    worst = std::max(worst, ((a[i].to(at::kDouble) - want).norm() / want.norm()).item<double>());
  }
  return worst;
}

}  // namespace evilmoe
