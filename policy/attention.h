#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "policy/fused/ops.h"
#include "policy/packed_batch.h"

namespace evilmoe {

enum class AttentionKind {
  kFused,  // FusedAttention where it fits, or ATen's scaled_dot_product_attention over padded buckets
  kNaive,  // softmax(q kᵀ / √d + mask) v written out, segment by segment, at least in fp32: the slow reference
};

// Causal attention within each segment of one packed batch, and from each segment to the whole of its prefix. Query
// heads share key-value heads in equal groups. Thread-safe; differentiable in q, k and v.
class PackedAttention {
 public:
  // prefix_gradient_scale_S: see ForwardOptions.
  PackedAttention(PackedBatch batch, AttentionKind kind, std::optional<at::Tensor> prefix_gradient_scale_S,
                  NetworkKernels kernels = NetworkKernels::kFused);

  // q (N, heads, d), k and v (N, kv heads, d), one dtype -> (N, heads · d) in that dtype.
  at::Tensor Run(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;

 private:
  at::Tensor RunBuckets(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;
  at::Tensor RunNaive(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const;
  at::Tensor Prefix(const at::Tensor& packed, const std::vector<int>& children, int prefix) const;

  const PackedBatch batch_;
  const AttentionKind kind_;
  const NetworkKernels kernels_;
  const std::optional<at::Tensor> prefix_gradient_scale_S_;
  std::vector<SegmentFamily> families_;
  std::vector<at::Tensor> masks_;  // a bucket of children each: (1, 1, T, P + T), true = visible
};

}  // namespace evilmoe
