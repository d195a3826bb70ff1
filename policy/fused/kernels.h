#pragma once

#include <cstdint>

namespace evilmoe {

// The training pass's inner loops in fp32, compiled once for each instruction set and picked at run time. No torch, no
// allocation, no threads: a caller splits the work by rows. Instruction sets differ in the last bits.
//
// Every output element is one chain of operations whose order depends on the inner dimension alone, never on how many
// rows stand beside it or on how they are split.

// Columns are worked through in panels of this many: widths are multiples of it.
inline constexpr int64_t kFusedPanel = 16;
inline constexpr int64_t FusedPadded(int64_t n) { return (n + kFusedPanel - 1) / kFusedPanel * kFusedPanel; }

// y (rows, columns) = x (rows, depth) · w (depth, columns), or += with `accumulate`.
//   x(i, k) = x[i · x_row + k · x_depth]                       a transposed x has x_row 1
//   w(k, j) = w[j / 16 · w_panel + k · w_depth + j mod 16]     row-major: w_panel 16, w_depth the row's length;
//                                                              panels of Pack: w_panel 16 · depth, w_depth 16
//   y(i, j) = y[i · y_row + j]
struct MatMul {
  int64_t rows = 0, depth = 0;
  int64_t columns = 0;  // a multiple of 16
  const float* x = nullptr;
  int64_t x_row = 0, x_depth = 1;
  const float* w = nullptr;
  int64_t w_panel = kFusedPanel, w_depth = 0;
  float* y = nullptr;
  int64_t y_row = 0;
  bool accumulate = false;
};

// Rows of heads · width numbers; weight, cosine and sine as in NormRotary.
struct HeadRows {
  int64_t rows = 0, heads = 0, width = 0;  // width a multiple of 32
  const float* weight = nullptr;           // (width)
  double eps = 0;
  const float* cosine = nullptr;  // (rows, width): halves repeated
  const float* sine = nullptr;
};

struct FusedKernels {
  const char* name;
  void (*matmul)(const MatMul& args);
  // Rows of w (rows, depth), `stride` apart, times `scale`, as the columns of panels [depth][16]; 0 where a panel has
  // more columns than there are rows. `panels`: FusedPadded(rows) · depth floats.
  void (*pack)(const float* w, int64_t rows, int64_t depth, int64_t stride, float scale, float* panels);
  // out = x / sqrt(mean(x²) + eps) · weight for each of `rows` rows of n numbers, n a multiple of 16.
  void (*rms_norm)(const float* x, const float* weight, double eps, int64_t rows, int64_t n, float* out);
  // dx of it, given the gradient g of out.
  void (*rms_norm_backward)(const float* x, const float* weight, const float* g, double eps, int64_t rows, int64_t n,
                            float* dx);
  // rms_norm of each head's numbers, then y · cosine + rotate_half(y) · sine.
  void (*norm_rotary)(const HeadRows& args, const float* x, float* out);
  void (*norm_rotary_backward)(const HeadRows& args, const float* x, const float* g, float* dx);
  // out = silu(gate) · up over n numbers, a multiple of 16.
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* out);
  void (*swiglu_backward)(const float* gate, const float* up, const float* g, int64_t n, float* d_gate, float* d_up);
  // s[i] = exp(s[i] − max) over n numbers, a multiple of 16 (−inf gives 0, and not all are); returns their sum, and the
  // maximum in `top`.
  float (*exponentials)(float* s, int64_t n, float* top);
  // Of one row of attention: s = p = exp(s − log_sum), then dp = p · (dp − delta) · scale.
  void (*softmax_backward)(float* s, float* dp, int64_t n, float log_sum, float delta, float scale);
  void (*scale)(float* x, int64_t n, float factor);  // n a multiple of 16
  float (*dot)(const float* x, const float* y, int64_t n);
};

// The fastest that this CPU runs; the same one for the life of the process.
const FusedKernels& BestFusedKernels();
// All that this CPU runs, slowest first: tests compare them.
struct FusedKernelList {
  const FusedKernels* all[3];
  int count;
};
FusedKernelList UsableFusedKernels();

// The tables of each instruction set, linked in where the compiler knows it. Run only what the CPU has.
const FusedKernels& BaselineFusedKernels();
#if defined(__x86_64__)
const FusedKernels& Avx2FusedKernels();
const FusedKernels& Avx512FusedKernels();
#endif

}  // namespace evilmoe
