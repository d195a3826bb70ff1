#include "policy/attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

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
    return {(grad[0] * ctx->get_saved_variables()[0]).to(grad[0].scalar_type()), at::Tensor()};
  }
};

// Rows `begin .. begin + count·length` of a padded (M, heads, d) tensor as (count, heads, length, d).
at::Tensor BucketView(const at::Tensor& padded, const AttentionBucket& bucket) {
  return padded.narrow(0, bucket.padded_begin, bucket.count * bucket.length)
      .view({bucket.count, bucket.length, padded.size(1), padded.size(2)})
      .transpose(1, 2);
}

// (T, P + T), true = visible: all of the prefix, then causal.
at::Tensor PrefixCausalMask(int64_t prefix, int64_t length, const at::Device& device) {
  return at::ones({length, prefix + length}, at::TensorOptions().dtype(at::kBool).device(device)).tril(prefix);
}

at::Tensor AttendFused(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask) {
  // Padding stands behind each segment, so the causal rule alone keeps it out of every real row.
  const std::optional<at::Tensor> bias = mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, bias, /*dropout_p=*/0.0, /*is_causal=*/!mask.defined(),
                                          /*scale=*/std::nullopt, /*enable_gqa=*/true);
}

// fp32, unless the values have more.
at::Tensor Precise(const at::Tensor& t) { return t.scalar_type() == at::kDouble ? t : t.to(at::kFloat); }

// q (heads, T, d), k and v (kv heads, P + T, d) -> (heads, T, d).
at::Tensor AttendNaive(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const int64_t group = q.size(0) / k.size(0);
  const at::Tensor keys = Precise(k).repeat_interleave(group, 0);
  const at::Tensor values = Precise(v).repeat_interleave(group, 0);
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
  const at::Tensor visible = PrefixCausalMask(k.size(1) - q.size(1), q.size(1), q.device());
  const at::Tensor scores = (at::matmul(Precise(q), keys.transpose(1, 2)) * scale)
                                .masked_fill(visible.logical_not(), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, -1), values);
}

std::vector<SegmentFamily> FamiliesOf(const PackedBatch& batch, const std::optional<at::Tensor>& scale_S) {
  std::vector<float> scales(batch.segments.size(), 1.0F);
  if (scale_S) {
    const at::Tensor on_cpu = scale_S->to(at::kCPU, at::kFloat).contiguous();
    scales.assign(on_cpu.const_data_ptr<float>(), on_cpu.const_data_ptr<float>() + on_cpu.numel());
  }
  std::vector<SegmentFamily> families;
  std::vector<size_t> family_of(batch.segments.size());
  for (size_t s = 0; s < batch.segments.size(); ++s) {
    const int index = static_cast<int>(s), prefix = batch.segments[s].prefix;
    const SegmentFamily::Run run{batch.segment_begin(index), batch.segment_length(index), scales[s]};
    if (prefix >= 0) {
      families[family_of[static_cast<size_t>(prefix)]].children.push_back(run);
      continue;
    }
    family_of[s] = families.size();
    families.push_back({.root = run, .children = {}});
  }
  return families;
}

}  // namespace

PackedAttention::PackedAttention(PackedBatch batch, AttentionKind kind,
                                 std::optional<at::Tensor> prefix_gradient_scale_S, NetworkKernels kernels)
    : batch_(std::move(batch)),
      kind_(kind),
      kernels_(kernels),
      prefix_gradient_scale_S_(std::move(prefix_gradient_scale_S)) {
  if (kind == AttentionKind::kNaive) return;
  families_ = FamiliesOf(batch_, prefix_gradient_scale_S_);
  for (const AttentionBucket& bucket : batch_.buckets) {
    at::Tensor mask;
    if (bucket.prefix >= 0) {
      mask = PrefixCausalMask(batch_.segment_length(bucket.prefix), bucket.length, batch_.ids_N.device());
      mask = mask.unsqueeze(0).unsqueeze(0);
    }
    masks_.push_back(mask);
  }
}

at::Tensor PackedAttention::Run(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
  if (kind_ == AttentionKind::kNaive) return RunNaive(q, k, v);
  if (kernels_ == NetworkKernels::kFused && FusedAttentionFits(q, k)) return FusedAttention(q, k, v, families_);
  return RunBuckets(q, k, v);
}

at::Tensor PackedAttention::RunBuckets(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
  const at::Tensor padded_q = q.index_select(0, batch_.padded_from_M);
  const at::Tensor padded_k = k.index_select(0, batch_.padded_from_M);
  const at::Tensor padded_v = v.index_select(0, batch_.padded_from_M);
  std::vector<at::Tensor> outputs;
  for (size_t i = 0; i < batch_.buckets.size(); ++i) {
    const AttentionBucket& bucket = batch_.buckets[i];
    at::Tensor keys = BucketView(padded_k, bucket);
    at::Tensor values = BucketView(padded_v, bucket);
    if (bucket.prefix >= 0) {
      keys = at::cat({Prefix(k, bucket.segments, bucket.prefix), keys}, 2);
      values = at::cat({Prefix(v, bucket.segments, bucket.prefix), values}, 2);
    }
    const at::Tensor out = AttendFused(BucketView(padded_q, bucket), keys, values, masks_[i]);
    outputs.push_back(out.transpose(1, 2).reshape({bucket.count * bucket.length, q.size(1) * q.size(2)}));
  }
  return at::cat(outputs, 0).index_select(0, batch_.packed_from_N);
}

at::Tensor PackedAttention::RunNaive(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
  std::vector<at::Tensor> outputs;
  for (size_t i = 0; i < batch_.segments.size(); ++i) {
    const int s = static_cast<int>(i);
    const auto rows = [&](const at::Tensor& packed) {
      return packed.narrow(0, batch_.segment_begin(s), batch_.segment_length(s)).transpose(0, 1);
    };
    at::Tensor keys = rows(k);
    at::Tensor values = rows(v);
    if (const int prefix = batch_.segments[i].prefix; prefix >= 0) {
      keys = at::cat({Prefix(k, {s}, prefix).squeeze(0), keys}, 1);
      values = at::cat({Prefix(v, {s}, prefix).squeeze(0), values}, 1);
    }
    const at::Tensor out = AttendNaive(rows(q), keys, values);
    outputs.push_back(out.transpose(0, 1).reshape({batch_.segment_length(s), q.size(1) * q.size(2)}));
  }
  return at::cat(outputs, 0).to(q.scalar_type());
}

// The prefix's keys or values, once for every child: (children, kv heads, P, d).
at::Tensor PackedAttention::Prefix(const at::Tensor& packed, const std::vector<int>& children, int prefix) const {
  const auto count = static_cast<int64_t>(children.size());
  const int64_t length = batch_.segment_length(prefix);
  at::Tensor shared = packed.narrow(0, batch_.segment_begin(prefix), length)
                          .transpose(0, 1)
                          .unsqueeze(0)
                          .expand({count, packed.size(1), length, packed.size(2)});
  if (!prefix_gradient_scale_S_) return shared;
  const std::vector<int64_t> indices(children.begin(), children.end());
  const at::Tensor index = at::tensor(indices, at::kLong).to(prefix_gradient_scale_S_->device());
  return ScaleGradient::apply(shared, prefix_gradient_scale_S_->index_select(0, index).view({-1, 1, 1, 1}));
}

}  // namespace evilmoe
