#pragma once

#include <cstdint>
#include <vector>

namespace evilmoe {

// Attention of packed segments (policy/attention.h) on plain fp32 arrays, where SegmentAttentionFits(). Nothing is
// padded; the scores of one segment and head exist at a time.

// A root and the segments that have it as their prefix, by first packed row and length.
struct SegmentFamily {
  struct Run {
    int64_t begin = 0, length = 0;
    float prefix_gradient_scale = 1;  // on what it sends into the root's keys and values; a child's
  };
  Run root;
  std::vector<Run> children;
};

struct AttentionShape {
  int64_t heads = 0, kv_heads = 0, width = 0;  // width: of a head
};
bool SegmentAttentionFits(const AttentionShape& shape);  // width a multiple of 16

// q and out (N, heads, width), k and v (N, kv heads, width), contiguous; log_sum (N, heads): log Σ exp of the scaled
// scores, for the backward pass. Each call does one family and one of the kv heads with its query heads, and touches
// nothing else, so calls may run side by side.
struct AttentionArrays {
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  float *out = nullptr, *log_sum = nullptr;
};
void AttendForward(const AttentionShape& shape, const SegmentFamily& family, int64_t kv_head,
                   const AttentionArrays& arrays);

struct AttentionGradientArrays {
  const float *q = nullptr, *k = nullptr, *v = nullptr, *out = nullptr, *log_sum = nullptr;
  const float* g = nullptr;                           // of out
  float *dq = nullptr, *dk = nullptr, *dv = nullptr;  // written
};
void AttendBackward(const AttentionShape& shape, const SegmentFamily& family, int64_t kv_head,
                    const AttentionGradientArrays& arrays);

}  // namespace evilmoe
