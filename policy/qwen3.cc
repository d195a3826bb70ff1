#include "policy/qwen3.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace evilmoe {
namespace {

// Identity forward; the gradient is multiplied by a constant factor that broadcasts.
class ScaleGradient : public torch::autograd::Function<ScaleGradient> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& factor) {
    ctx->save_for_backward({factor});
    return x.view_as(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grad) {
    return {grad[0] * ctx->get_saved_variables()[0], at::Tensor()};
  }
};

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return at::rms_norm(x, {x.size(-1)}, weight, eps);
}

// Rows `begin .. begin + count·length` of a padded (M, heads, d) tensor as (count, heads, length, d).
at::Tensor BucketView(const at::Tensor& padded, const AttentionBucket& bucket) {
  return padded.narrow(0, bucket.padded_begin, bucket.count * bucket.length)
      .view({bucket.count, bucket.length, padded.size(1), padded.size(2)})
      .transpose(1, 2);
}

// (1, 1, T, P + T), true = visible: all of the prefix, then causal.
at::Tensor PrefixCausalMask(int64_t prefix, int64_t length) {
  return at::ones({length, prefix + length}, at::kBool).tril(prefix).view({1, 1, length, prefix + length});
}

class Attention {
 public:
  Attention(const PackedBatch& batch, const ForwardOptions& options) : batch_(batch), options_(options) {
    for (const AttentionBucket& bucket : batch.buckets) {
      masks_.push_back(bucket.prefix < 0 ? at::Tensor()
                                         : PrefixCausalMask(batch.segment_length(bucket.prefix), bucket.length));
    }
  }

  // q (N, heads, d), k and v (N, kv heads, d) -> (N, heads · d).
  at::Tensor Run(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
    const at::Tensor padded_q = q.index_select(0, batch_.padded_from_M);
    const at::Tensor padded_k = k.index_select(0, batch_.padded_from_M);
    const at::Tensor padded_v = v.index_select(0, batch_.padded_from_M);
    std::vector<at::Tensor> outputs;
    for (size_t i = 0; i < batch_.buckets.size(); ++i) {
      const AttentionBucket& bucket = batch_.buckets[i];
      at::Tensor keys = BucketView(padded_k, bucket);
      at::Tensor values = BucketView(padded_v, bucket);
      if (bucket.prefix >= 0) {
        keys = at::cat({Prefix(k, bucket), keys}, 2);
        values = at::cat({Prefix(v, bucket), values}, 2);
      }
      const at::Tensor out = Attend(BucketView(padded_q, bucket), keys, values, masks_[i]);
      outputs.push_back(out.transpose(1, 2).reshape({bucket.count * bucket.length, q.size(1) * q.size(2)}));
    }
    return at::cat(outputs, 0).index_select(0, batch_.packed_from_N);
  }

 private:
  static at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask) {
    // Padding stands behind each segment, so the causal rule alone keeps it out of every real row.
    const std::optional<at::Tensor> bias = mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
    return at::scaled_dot_product_attention(q, k, v, bias, /*dropout_p=*/0.0, /*is_causal=*/!mask.defined(),
                                            /*scale=*/std::nullopt, /*enable_gqa=*/true);
  }

  // The prefix's keys or values, once for every child: (count, kv heads, P, d).
  at::Tensor Prefix(const at::Tensor& packed, const AttentionBucket& bucket) const {
    const int64_t length = batch_.segment_length(bucket.prefix);
    at::Tensor prefix = packed.narrow(0, batch_.segment_begin(bucket.prefix), length)
                            .transpose(0, 1)
                            .unsqueeze(0)
                            .expand({bucket.count, packed.size(1), length, packed.size(2)});
    if (!options_.prefix_gradient_scale_S) return prefix;
    std::vector<int64_t> segments(bucket.segments.begin(), bucket.segments.end());
    const at::Tensor factor = options_.prefix_gradient_scale_S->index_select(0, at::tensor(segments, at::kLong));
    return ScaleGradient::apply(prefix, factor.view({-1, 1, 1, 1}));
  }

  const PackedBatch& batch_;
  const ForwardOptions& options_;
  std::vector<at::Tensor> masks_;
};

class Network {
 public:
  Network(const Qwen3Weights& weights, const PackedBatch& batch, Projector& projector, const ForwardOptions& options)
      : weights_(weights),
        projector_(projector),
        options_(options),
        attention_(batch, options),
        rotary_(Rotary(weights.config, batch.positions_N)),
        eps_(weights.config.rms_norm_eps) {}

  at::Tensor Layer(int index, const at::Tensor& x) {
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(index)];
    const at::Tensor attended = x + SelfAttention(index, RmsNorm(x, layer.input_norm, eps_));
    const at::Tensor normed = RmsNorm(attended, layer.attention_norm, eps_);
    const at::Tensor gated = at::silu(Project(index, Linear::kGate, normed)) * Project(index, Linear::kUp, normed);
    return attended + Project(index, Linear::kDown, gated);
  }

 private:
  at::Tensor Project(int layer, Linear linear, const at::Tensor& x) {
    const at::Tensor& weight = weights_.layers[static_cast<size_t>(layer)].linears[static_cast<size_t>(linear)];
    return projector_.Project({layer, linear}, x, weight);
  }

  at::Tensor SelfAttention(int index, const at::Tensor& x) {
    const Qwen3Config& config = weights_.config;
    const LayerWeights& layer = weights_.layers[static_cast<size_t>(index)];
    const int64_t n = x.size(0);
    const at::Tensor q = Project(index, Linear::kQuery, x).view({n, config.num_heads, config.head_dim});
    const at::Tensor k = Project(index, Linear::kKey, x).view({n, config.num_kv_heads, config.head_dim});
    const at::Tensor v = Project(index, Linear::kValue, x).view({n, config.num_kv_heads, config.head_dim});
    const at::Tensor roped_q = ApplyRotary(RmsNorm(q, layer.query_norm, eps_), rotary_);
    const at::Tensor roped_k = ApplyRotary(RmsNorm(k, layer.key_norm, eps_), rotary_);
    if (options_.keys_values != nullptr) options_.keys_values->push_back({roped_k, v});
    return Project(index, Linear::kOutput, attention_.Run(roped_q, roped_k, v));
  }

  const Qwen3Weights& weights_;
  Projector& projector_;
  const ForwardOptions& options_;
  const Attention attention_;
  const RotaryTables rotary_;
  const double eps_;
};

}  // namespace

at::Tensor PlainProjector::Project(ModuleId, const at::Tensor& x_NI, const at::Tensor& weight_OI) {
  return at::linear(x_NI, weight_OI);
}

RotaryTables Rotary(const Qwen3Config& config, const at::Tensor& positions_N) {
  const at::Tensor exponent = at::arange(0, config.head_dim, 2, at::kFloat) / static_cast<double>(config.head_dim);
  const at::Tensor frequency = at::pow(at::scalar_tensor(config.rope_theta, at::kFloat), -exponent);
  const at::Tensor angle = at::outer(positions_N.to(at::kFloat), frequency);
  const at::Tensor both = at::cat({angle, angle}, -1).unsqueeze(1);
  return {both.cos(), both.sin()};
}

at::Tensor ApplyRotary(const at::Tensor& x, const RotaryTables& tables) {
  const int64_t half = x.size(-1) / 2;
  const at::Tensor rotated = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
  return x * tables.cos + rotated * tables.sin;
}

at::Tensor Qwen3Hidden(const Qwen3Weights& weights, const PackedBatch& batch, Projector& projector,
                       const ForwardOptions& options) {
  Network network(weights, batch, projector, options);
  at::Tensor x = at::embedding(weights.embedding, batch.ids_N);
  for (int layer = 0; layer < weights.config.num_layers; ++layer) x = network.Layer(layer, x);
  return RmsNorm(x, weights.final_norm, weights.config.rms_norm_eps);
}

at::Tensor TokenLogProbs(const Qwen3Weights& weights, const at::Tensor& hidden_NH, const at::Tensor& targets_N,
                         double temperature) {
  at::Tensor logits = at::linear(hidden_NH, weights.head);
  if (temperature != 1.0) logits = logits / temperature;
  return at::log_softmax(logits, -1).gather(1, targets_N.unsqueeze(1)).squeeze(1);
}

}  // namespace evilmoe
