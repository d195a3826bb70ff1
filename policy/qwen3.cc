#include "policy/qwen3.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <memory>

#include "policy/recompute.h"
#include "policy/token_log_probs.h"

namespace evilmoe {
namespace {

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps, NetworkKernels kernels) {
  if (kernels == NetworkKernels::kFused && FusedRmsNormFits(x, weight)) return FusedRmsNorm(x, weight, eps);
  const bool precise = x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble;
  if (precise) return at::rms_norm(x, {x.size(-1)}, weight, eps);
  // The fused form multiplies before it rounds; transformers rounds first.
  return weight * at::rms_norm(x.to(at::kFloat), {x.size(-1)}, std::nullopt, eps).to(x.scalar_type());
}

// One forward pass. Owns all that it refers to but the projector, since recomputed layers outlive the call.
class Network {
 public:
  Network(const Qwen3Weights& weights, const PackedBatch& batch, Projector& projector, const ForwardOptions& options)
      : weights_(weights),
        projector_(projector),
        attention_(batch, options.attention, options.prefix_gradient_scale_S, projector.kernels()),
        rotary_(RotaryIn(weights, batch)),
        eps_(weights.config.rms_norm_eps),
        attend_(options.attend),
        keys_values_(options.keys_values) {}

  at::Tensor Layer(int index, const at::Tensor& x) const {
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(index)];
    const NetworkKernels kernels = projector_.kernels();
    const at::Tensor attended = x + SelfAttention(index, RmsNorm(x, layer.input_norm, eps_, kernels));
    return attended + projector_.Mlp(index, RmsNorm(attended, layer.attention_norm, eps_, kernels), layer);
  }

 private:
  static RotaryTables RotaryIn(const Qwen3Weights& weights, const PackedBatch& batch) {
    const at::ScalarType dtype = weights.embedding.scalar_type();
    const RotaryTables tables =
        Rotary(weights.config, batch.positions_N, dtype == at::kDouble ? at::kDouble : at::kFloat);
    return {tables.cos.to(dtype), tables.sin.to(dtype)};
  }

  at::Tensor Project(int layer, Linear linear, const at::Tensor& x) const {
    const at::Tensor& weight = weights_.layers[static_cast<size_t>(layer)].linears[static_cast<size_t>(linear)];
    return projector_.Project({layer, linear}, x, weight);
  }

  at::Tensor NormRotary(const at::Tensor& x, const at::Tensor& weight) const {
    if (projector_.kernels() == NetworkKernels::kFused && FusedNormRotaryFits(x, weight)) {
      return FusedNormRotary(x, weight, eps_, rotary_.cos, rotary_.sin);
    }
    return ApplyRotary(RmsNorm(x, weight, eps_, projector_.kernels()), rotary_);
  }

  at::Tensor SelfAttention(int index, const at::Tensor& x) const {
    const Qwen3Config& config = weights_.config;
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(index)];
    const int64_t n = x.size(0);
    const at::Tensor q = Project(index, Linear::kQuery, x).view({n, config.num_heads, config.head_dim});
    const at::Tensor k = Project(index, Linear::kKey, x).view({n, config.num_kv_heads, config.head_dim});
    const at::Tensor v = Project(index, Linear::kValue, x).view({n, config.num_kv_heads, config.head_dim});
    const at::Tensor roped_q = NormRotary(q, layer.query_norm);
    const at::Tensor roped_k = NormRotary(k, layer.key_norm);
    if (keys_values_ != nullptr) keys_values_->push_back({roped_k, v});
    const at::Tensor mixed = attend_ ? attend_(index, roped_q, roped_k, v) : attention_.Run(roped_q, roped_k, v);
    return Project(index, Linear::kOutput, mixed);
  }

  const Qwen3Weights weights_;
  Projector& projector_;
  const PackedAttention attention_;
  const RotaryTables rotary_;
  const double eps_;
  const decltype(ForwardOptions::attend) attend_;
  std::vector<LayerKeysValues>* const keys_values_;
};

}  // namespace

at::Tensor Projector::Mlp(int layer, const at::Tensor& x_NH, const LayerWeights& weights) {
  const auto project = [&](Linear linear, const at::Tensor& x) {
    return Project({layer, linear}, x, weights.linears[static_cast<size_t>(linear)]);
  };
  const at::Tensor gate = project(Linear::kGate, x_NH);
  const at::Tensor up = project(Linear::kUp, x_NH);
  const bool fused = kernels_ == NetworkKernels::kFused && FusedSwigluFits(gate, up);
  return project(Linear::kDown, fused ? FusedSwiglu(gate, up) : at::silu(gate) * up);
}

at::Tensor PlainProjector::Project(ModuleId, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  if (kernels() == NetworkKernels::kFused && FusedLinearFits(x_NI, weight_OI)) return FusedLinear(x_NI, weight_OI);
  return at::linear(x_NI, weight_OI);
}

RotaryTables Rotary(const Qwen3Config& config, const at::Tensor& positions_N, at::ScalarType dtype) {
  const auto options = positions_N.options().dtype(dtype);
  const at::Tensor exponent = at::arange(0, config.head_dim, 2, options) / static_cast<double>(config.head_dim);
  const at::Tensor frequency = at::pow(config.rope_theta, exponent).reciprocal();
  const at::Tensor angle = at::outer(positions_N.to(dtype), frequency);
  const at::Tensor both = at::cat({angle, angle}, -1).unsqueeze(1);
  return {both.cos(), both.sin()};
}

at::Tensor ApplyRotary(const at::Tensor& x, const RotaryTables& tables) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * tables.cos.to(x.scalar_type()) + rotated * tables.sin.to(x.scalar_type());
}

at::Tensor Qwen3Hidden(const Qwen3Weights& weights, const PackedBatch& batch, Projector& projector,
                       const ForwardOptions& options) {
  const auto network = std::make_shared<const Network>(weights, batch, projector, options);
  const bool recompute = options.recompute_layers && options.keys_values == nullptr && c10::GradMode::is_enabled();
  at::Tensor x = at::embedding(weights.embedding, batch.ids_N);
  const int64_t num_layers = options.num_layers > 0 ? options.num_layers : weights.config.num_layers;
  for (int layer = 0; layer < num_layers; ++layer) {
    x = recompute ? Recompute(x, [network, layer](const at::Tensor& in) { return network->Layer(layer, in); })
                  : network->Layer(layer, x);
  }
  return options.num_layers > 0 ? x : RmsNorm(x, weights.final_norm, weights.config.rms_norm_eps, projector.kernels());
}

at::Tensor TokenLogProbs(const Qwen3Weights& weights, const at::Tensor& hidden_NH, const at::Tensor& targets_N,
                         double temperature) {
  return ScoreTokens(hidden_NH, weights.head, targets_N, {.temperature = temperature}).logp_N;
}

}  // namespace evilmoe
