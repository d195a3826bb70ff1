#include "policy/fused/segment_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "policy/fused/kernels.h"

namespace evilmoe {
namespace {

// Keys (or values) as the columns of a product with queries: those of the root, then a segment's own, each padded to a
// whole panel.
class Columns {
 public:
  // x: the array (N, kv heads, width) from the kv head's first number; `stride` floats between rows.
  Columns(const float* x, int64_t stride, int64_t width, float scale)
      : x_(x), stride_(stride), width_(width), scale_(scale) {}

  void SetRoot(const SegmentFamily::Run& root) { Fill(root, 0); }
  // Returns the number of padded columns.
  void SetOwn(const SegmentFamily::Run& own, int64_t prefix_columns) { Fill(own, prefix_columns); }
  const float* panels() const { return panels_.data(); }

 private:
  void Fill(const SegmentFamily::Run& run, int64_t column) {
    panels_.resize(static_cast<size_t>((column + FusedPadded(run.length)) * width_));
    BestFusedKernels().pack(x_ + run.begin * stride_, run.length, width_, stride_, scale_,
                            panels_.data() + column * width_);
  }

  const float* x_;
  const int64_t stride_, width_;
  const float scale_;
  std::vector<float> panels_;
};

// One segment's queries against its root's and its own keys.
struct Scores {
  int64_t prefix = 0;          // keys of the root; 0 for the root itself
  int64_t prefix_columns = 0;  // padded
  int64_t columns = 0;         // padded, the prefix's and its own
  std::vector<float> values;   // (length, columns)

  Scores(const SegmentFamily::Run& root, const SegmentFamily::Run& own, bool is_root)
      : prefix(is_root ? 0 : root.length),
        prefix_columns(FusedPadded(prefix)),
        columns(prefix_columns + FusedPadded(own.length)),
        values(static_cast<size_t>(own.length * columns)) {}

  // −∞ wherever query t sees nothing: padding, and what comes after it.
  void Mask(int64_t t) {
    float* row = values.data() + t * columns;
    constexpr float kNothing = -std::numeric_limits<float>::infinity();
    std::fill(row + prefix, row + prefix_columns, kNothing);
    std::fill(row + prefix_columns + t + 1, row + columns, kNothing);
  }
};

// Product of queries (or their gradients), `x_row` apart, with Columns.
void Multiply(const float* x, int64_t x_row, int64_t rows, int64_t width, const float* panels, int64_t columns,
              float* y) {
  BestFusedKernels().matmul({.rows = rows,
                             .depth = width,
                             .columns = columns,
                             .x = x,
                             .x_row = x_row,
                             .w = panels,
                             .w_panel = kFusedPanel * width,
                             .w_depth = kFusedPanel,
                             .y = y,
                             .y_row = columns});
}

// y (rows, width) = or += x · w: x(i, k) by its two strides, w and y rows of a head in arrays of several.
struct HeadProduct {
  int64_t rows, depth, width;
  const float* x;
  int64_t x_row, x_depth;
  const float* w;
  int64_t w_row;
  float* y;
  int64_t y_row;
  bool accumulate;
};
void Multiply(const HeadProduct& p) {
  if (p.depth == 0) return;
  BestFusedKernels().matmul({.rows = p.rows,
                             .depth = p.depth,
                             .columns = p.width,
                             .x = p.x,
                             .x_row = p.x_row,
                             .x_depth = p.x_depth,
                             .w = p.w,
                             .w_depth = p.w_row,
                             .y = p.y,
                             .y_row = p.y_row,
                             .accumulate = p.accumulate});
}

float InverseRoot(int64_t width) { return static_cast<float>(1 / std::sqrt(static_cast<double>(width))); }

// Calls do(run, is_root) for the root, then each child.
template <typename Do>
void ForEachRun(const SegmentFamily& family, Do&& act) {
  act(family.root, true);
  for (const SegmentFamily::Run& child : family.children) act(child, false);
}

}  // namespace

bool SegmentAttentionFits(const AttentionShape& shape) {
  return shape.width % kFusedPanel == 0 && shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0;
}

void AttendForward(const AttentionShape& shape, const SegmentFamily& family, int64_t kv_head,
                   const AttentionArrays& arrays) {
  const FusedKernels& kernels = BestFusedKernels();
  const int64_t d = shape.width, q_row = shape.heads * d, kv_row = shape.kv_heads * d;
  const int64_t group = shape.heads / shape.kv_heads;
  const float *k = arrays.k + kv_head * d, *v = arrays.v + kv_head * d;
  Columns keys(k, kv_row, d, InverseRoot(d));
  ForEachRun(family, [&](const SegmentFamily::Run& run, bool is_root) {
    if (is_root) {
      keys.SetRoot(run);
    } else {
      keys.SetOwn(run, FusedPadded(family.root.length));
    }
    Scores scores(family.root, run, is_root);
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      float* out = arrays.out + run.begin * q_row + h * d;
      Multiply(arrays.q + run.begin * q_row + h * d, q_row, run.length, d, keys.panels(), scores.columns,
               scores.values.data());
      std::vector<float> inverse(static_cast<size_t>(run.length));
      for (int64_t t = 0; t < run.length; ++t) {
        scores.Mask(t);
        float top = 0;
        const float sum = kernels.exponentials(scores.values.data() + t * scores.columns, scores.columns, &top);
        inverse[static_cast<size_t>(t)] = 1 / sum;
        arrays.log_sum[(run.begin + t) * shape.heads + h] = top + std::log(sum);
      }
      Multiply({run.length, scores.prefix, d, scores.values.data(), scores.columns, 1, v + family.root.begin * kv_row,
                kv_row, out, q_row, false});
      Multiply({run.length, run.length, d, scores.values.data() + scores.prefix_columns, scores.columns, 1,
                v + run.begin * kv_row, kv_row, out, q_row, scores.prefix > 0});
      for (int64_t t = 0; t < run.length; ++t) kernels.scale(out + t * q_row, d, inverse[static_cast<size_t>(t)]);
    }
  });
}

void AttendBackward(const AttentionShape& shape, const SegmentFamily& family, int64_t kv_head,
                    const AttentionGradientArrays& arrays) {
  const FusedKernels& kernels = BestFusedKernels();
  const int64_t d = shape.width, q_row = shape.heads * d, kv_row = shape.kv_heads * d;
  const int64_t group = shape.heads / shape.kv_heads, root_row = family.root.begin * kv_row;
  const float *k = arrays.k + kv_head * d, *v = arrays.v + kv_head * d, scale = InverseRoot(d);
  float *dk = arrays.dk + kv_head * d, *dv = arrays.dv + kv_head * d;
  Columns keys(k, kv_row, d, scale), values(v, kv_row, d, 1);
  ForEachRun(family, [&](const SegmentFamily::Run& run, bool is_root) {
    const int64_t own_row = run.begin * kv_row;
    for (Columns* columns : {&keys, &values}) {
      if (is_root) {
        columns->SetRoot(run);
      } else {
        columns->SetOwn(run, FusedPadded(family.root.length));
      }
    }
    Scores scores(family.root, run, is_root);
    std::vector<float> d_scores(scores.values.size());
    const int64_t columns = scores.columns, prefix = scores.prefix, prefix_columns = scores.prefix_columns;
    float *p = scores.values.data(), *ds = d_scores.data();
    for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      const int64_t head_row = run.begin * q_row + h * d;
      const float *q = arrays.q + head_row, *g = arrays.g + head_row, *out = arrays.out + head_row;
      Multiply(q, q_row, run.length, d, keys.panels(), columns, p);
      Multiply(g, q_row, run.length, d, values.panels(), columns, ds);
      for (int64_t t = 0; t < run.length; ++t) {
        scores.Mask(t);
        kernels.softmax_backward(p + t * columns, ds + t * columns, columns,
                                 arrays.log_sum[(run.begin + t) * shape.heads + h],
                                 kernels.dot(g + t * q_row, out + t * q_row, d), scale);
      }
      float* dq = arrays.dq + head_row;
      Multiply({run.length, prefix, d, ds, columns, 1, k + root_row, kv_row, dq, q_row, false});
      Multiply(
          {run.length, run.length, d, ds + prefix_columns, columns, 1, k + own_row, kv_row, dq, q_row, prefix > 0});
      const bool later_head = h > kv_head * group;
      Multiply(
          {run.length, run.length, d, ds + prefix_columns, 1, columns, q, q_row, dk + own_row, kv_row, later_head});
      Multiply({run.length, run.length, d, p + prefix_columns, 1, columns, g, q_row, dv + own_row, kv_row, later_head});
      if (is_root) continue;
      if (run.prefix_gradient_scale != 1) {
        for (int64_t t = 0; t < run.length; ++t) {
          kernels.scale(p + t * columns, prefix_columns, run.prefix_gradient_scale);
          kernels.scale(ds + t * columns, prefix_columns, run.prefix_gradient_scale);
        }
      }
      // The root came first, so its rows hold a sum already.
      Multiply({prefix, run.length, d, ds, 1, columns, q, q_row, dk + root_row, kv_row, true});
      Multiply({prefix, run.length, d, p, 1, columns, g, q_row, dv + root_row, kv_row, true});
    }
  });
}

}  // namespace evilmoe
