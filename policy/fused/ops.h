#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "policy/fused/segment_attention.h"

namespace evilmoe {

// The training pass's parts as differentiable functions over the kernels of fused/kernels.h: one pass over memory each
// way instead of one an elementary operation. fp32 on a CPU; everything else, and the slow reference that the tests
// hold these to, is ATen.

// Which of the two runs where both could.
enum class NetworkKernels {
  kFused,
  kAten,
};

// fp32 on a CPU.
bool IsPlainFloat(const at::Tensor& t);
// Whether FusedRmsNorm takes x (…, n) with weight (n): n a multiple of 16, and no gradient wanted of the weight.
bool FusedRmsNormFits(const at::Tensor& x, const at::Tensor& weight);
at::Tensor FusedRmsNorm(const at::Tensor& x, const at::Tensor& weight, double eps);

// RMS norm of each head of x (N, heads, d), then rotation by cos and sin (N, 1, d). d a multiple of 32, no gradient of
// the weight.
bool FusedNormRotaryFits(const at::Tensor& x, const at::Tensor& weight);
at::Tensor FusedNormRotary(const at::Tensor& x, const at::Tensor& weight, double eps, const at::Tensor& cos,
                           const at::Tensor& sin);

// silu(gate) · up, of a multiple of 16 numbers.
bool FusedSwigluFits(const at::Tensor& gate, const at::Tensor& up);
at::Tensor FusedSwiglu(const at::Tensor& gate, const at::Tensor& up);

// q (N, heads, d), k and v (N, kv heads, d) -> (N, heads · d). The families cover all N rows, each once.
bool FusedAttentionFits(const at::Tensor& q, const at::Tensor& k);
at::Tensor FusedAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const std::vector<SegmentFamily>& families);

// x (N, in) · weight (out, in)ᵀ without a gradient of the weight.
bool FusedLinearFits(const at::Tensor& x, const at::Tensor& weight);
at::Tensor FusedLinear(const at::Tensor& x, const at::Tensor& weight);

}  // namespace evilmoe
