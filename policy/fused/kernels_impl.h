// The kernels over GCC's vector types, one source for every instruction set: kernels_<set>.cc defines
//   EVILMOE_KERNELS   name of the function that returns the table
//   EVILMOE_LANES     floats in a register: 4, 8 or 16
//   EVILMOE_ROWS      rows of a block of a product, as many as the registers hold beside w
//   EVILMOE_PANELS    panels of such a block
// and includes this once.
#include <algorithm>
#include <cmath>
#include <limits>

#include "policy/fused/kernels.h"
#include "policy/simd.h"

namespace evilmoe {
namespace {

constexpr int kVecs = static_cast<int>(kFusedPanel / kLanes);  // registers in a panel's row

// kRows rows by kPanels panels, all sums in registers.
template <int kRows, int kPanels>
inline void Block(const MatMul& a, const float* x, const float* w, float* y) {
  Vec sums[kRows][kPanels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) sums[r][c] = a.accumulate ? Load(y + r * a.y_row + c * kLanes) : Vec{};
  }
  const int64_t x_row = a.x_row;
  for (int64_t k = 0; k < a.depth; ++k, x += a.x_depth, w += a.w_depth) {
    Vec weights[kPanels * kVecs];
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) weights[c] = Load(w + (c / kVecs) * a.w_panel + (c % kVecs) * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec factor = Splat(x[r * x_row]);
#pragma GCC unroll 8
      for (int c = 0; c < kPanels * kVecs; ++c) sums[r][c] += factor * weights[c];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) Store(y + r * a.y_row + c * kLanes, sums[r][c]);
  }
}

// The block's size is a template argument, so that the sums stay in registers.
template <int kPanels, int kRows>
inline void Dispatch(const MatMul& a, int64_t rows, const float* x, const float* w, float* y) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return Block<kRows, kPanels>(a, x, w, y);
    Dispatch<kPanels, kRows - 1>(a, rows, x, w, y);
  }
}

// All rows, in blocks of like size, of kPanels panels.
template <int kPanels>
inline void AllRows(const MatMul& a, int64_t column) {
  const int64_t blocks = (a.rows + EVILMOE_ROWS - 1) / EVILMOE_ROWS;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = a.rows * b / blocks, end = a.rows * (b + 1) / blocks;
    Dispatch<kPanels, EVILMOE_ROWS>(a, end - begin, a.x + begin * a.x_row, a.w + column / kFusedPanel * a.w_panel,
                                    a.y + begin * a.y_row + column);
  }
}

void RunMatMul(const MatMul& a) {
  int64_t column = 0;
  for (; column + EVILMOE_PANELS * kFusedPanel <= a.columns; column += EVILMOE_PANELS * kFusedPanel) {
    AllRows<EVILMOE_PANELS>(a, column);
  }
  for (; column < a.columns; column += kFusedPanel) AllRows<1>(a, column);
}

// a0 b0 a1 b1 ... of the lower halves, or of the upper ones.
inline Vec Interleave(Vec a, Vec b, bool upper) {
  IntVec index;
  for (int i = 0; i < EVILMOE_LANES; ++i) {
    index[i] = i / 2 + (upper ? EVILMOE_LANES / 2 : 0) + (i % 2 == 0 ? 0 : EVILMOE_LANES);
  }
  return __builtin_shuffle(a, b, index);
}

// Rows become columns: interleaving halves as often as it takes moves element (i, j) to (j, i).
inline void Transpose(Vec (&rows)[EVILMOE_LANES]) {
#pragma GCC unroll 4
  for (int step = 1; step < EVILMOE_LANES; step *= 2) {
    Vec next[EVILMOE_LANES];
#pragma GCC unroll 8
    for (int i = 0; i < EVILMOE_LANES / 2; ++i) {
      next[2 * i] = Interleave(rows[i], rows[i + EVILMOE_LANES / 2], false);
      next[2 * i + 1] = Interleave(rows[i], rows[i + EVILMOE_LANES / 2], true);
    }
#pragma GCC unroll 16
    for (int i = 0; i < EVILMOE_LANES; ++i) rows[i] = next[i];
  }
}

void Pack(const float* w, int64_t rows, int64_t depth, int64_t stride, float scale, float* panels) {
  for (int64_t begin = 0; begin < rows; begin += kFusedPanel, panels += kFusedPanel * depth) {
    const int64_t count = std::min(kFusedPanel, rows - begin);
    int64_t k = 0;
    for (; count == kFusedPanel && k + kLanes <= depth; k += kLanes) {
      for (int64_t lane = 0; lane < kFusedPanel; lane += kLanes) {
        Vec block[EVILMOE_LANES];
#pragma GCC unroll 16
        for (int64_t j = 0; j < kLanes; ++j) block[j] = Load(w + (begin + lane + j) * stride + k) * scale;
        Transpose(block);
#pragma GCC unroll 16
        for (int64_t i = 0; i < kLanes; ++i) Store(panels + (k + i) * kFusedPanel + lane, block[i]);
      }
    }
    for (; k < depth; ++k) {
      float* row = panels + k * kFusedPanel;
      for (int64_t j = 0; j < count; ++j) row[j] = w[(begin + j) * stride + k] * scale;
      for (int64_t j = count; j < kFusedPanel; ++j) row[j] = 0;
    }
  }
}

inline float Dot(const float* x, const float* y, int64_t n) {
  Vec sum = {};
  for (int64_t i = 0; i < n; i += kLanes) sum += Load(x + i) * Load(y + i);
  return Sum(sum);
}

inline float InverseRms(const float* x, double eps, int64_t n) {
  const double mean = static_cast<double>(Dot(x, x, n)) / static_cast<double>(n);
  return static_cast<float>(1.0 / std::sqrt(mean + eps));
}

inline void NormRow(const float* x, const float* weight, double eps, int64_t n, float* out) {
  const float inverse = InverseRms(x, eps, n);
  for (int64_t i = 0; i < n; i += kLanes) Store(out + i, Load(x + i) * inverse * Load(weight + i));
}

// With y = x · s, s = 1/rms: dx = s · (w g − y · mean(w g y)).
inline void NormRowBackward(const float* x, const float* weight, const float* g, double eps, int64_t n, float* dx) {
  const float inverse = InverseRms(x, eps, n);
  Vec products = {};
  for (int64_t i = 0; i < n; i += kLanes) products += Load(weight + i) * Load(g + i) * Load(x + i);
  const float along = Sum(products) * inverse * inverse / static_cast<float>(n);
  for (int64_t i = 0; i < n; i += kLanes) {
    Store(dx + i, (Load(weight + i) * Load(g + i) - Load(x + i) * along) * inverse);
  }
}

void RmsNorm(const float* x, const float* weight, double eps, int64_t rows, int64_t n, float* out) {
  for (int64_t row = 0; row < rows; ++row) NormRow(x + row * n, weight, eps, n, out + row * n);
}

void RmsNormBackward(const float* x, const float* weight, const float* g, double eps, int64_t rows, int64_t n,
                     float* dx) {
  for (int64_t row = 0; row < rows; ++row) NormRowBackward(x + row * n, weight, g + row * n, eps, n, dx + row * n);
}

void NormRotary(const HeadRows& a, const float* x, float* out) {
  const int64_t half = a.width / 2;
  for (int64_t row = 0; row < a.rows; ++row) {
    const float *cosine = a.cosine + row * a.width, *sine = a.sine + row * a.width;
    for (int64_t head = 0; head < a.heads; ++head, x += a.width, out += a.width) {
      NormRow(x, a.weight, a.eps, a.width, out);
      for (int64_t i = 0; i < half; i += kLanes) {
        const Vec low = Load(out + i), high = Load(out + half + i);
        Store(out + i, low * Load(cosine + i) - high * Load(sine + i));
        Store(out + half + i, high * Load(cosine + half + i) + low * Load(sine + half + i));
      }
    }
  }
}

void NormRotaryBackward(const HeadRows& a, const float* x, const float* g, float* dx) {
  const int64_t half = a.width / 2;
  for (int64_t row = 0; row < a.rows; ++row) {
    const float *cosine = a.cosine + row * a.width, *sine = a.sine + row * a.width;
    for (int64_t head = 0; head < a.heads; ++head, x += a.width, g += a.width, dx += a.width) {
      for (int64_t i = 0; i < half; i += kLanes) {
        const Vec low = Load(g + i), high = Load(g + half + i);
        Store(dx + i, low * Load(cosine + i) + high * Load(sine + half + i));
        Store(dx + half + i, high * Load(cosine + half + i) - low * Load(sine + i));
      }
      NormRowBackward(x, a.weight, dx, a.eps, a.width, dx);
    }
  }
}

inline Vec Sigmoid(Vec x) {
  const Vec most = Splat(87.0f);
  const Vec minus = -x > most ? most : -x;
  return 1.0f / (1.0f + Exp(minus));
}

void Swiglu(const float* gate, const float* up, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec x = Load(gate + i);
    Store(out + i, x * Sigmoid(x) * Load(up + i));
  }
}

void SwigluBackward(const float* gate, const float* up, const float* g, int64_t n, float* d_gate, float* d_up) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec x = Load(gate + i), s = Sigmoid(x), grad = Load(g + i);
    Store(d_up + i, grad * x * s);
    Store(d_gate + i, grad * Load(up + i) * s * (1.0f + x * (1.0f - s)));
  }
}

float Exponentials(float* s, int64_t n, float* top) {
  Vec best = Load(s);
  for (int64_t i = kLanes; i < n; i += kLanes) {
    const Vec v = Load(s + i);
    best = v > best ? v : best;
  }
  float most = best[0];
  for (int64_t l = 1; l < kLanes; ++l) most = std::max(most, best[l]);
  Vec sum = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec e = Exp(Load(s + i) - most);
    Store(s + i, e);
    sum += e;
  }
  *top = most;
  return Sum(sum);
}

void SoftmaxBackward(float* s, float* dp, int64_t n, float log_sum, float delta, float scale) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec p = Exp(Load(s + i) - log_sum);
    Store(s + i, p);
    Store(dp + i, p * (Load(dp + i) - delta) * scale);
  }
}

void Scale(float* x, int64_t n, float factor) {
  for (int64_t i = 0; i < n; i += kLanes) Store(x + i, Load(x + i) * factor);
}

}  // namespace

const FusedKernels& EVILMOE_KERNELS() {
  static constexpr FusedKernels kKernels = {EVILMOE_KERNELS_NAME,
                                            RunMatMul,
                                            Pack,
                                            RmsNorm,
                                            RmsNormBackward,
                                            NormRotary,
                                            NormRotaryBackward,
                                            Swiglu,
                                            SwigluBackward,
                                            Exponentials,
                                            SoftmaxBackward,
                                            Scale,
                                            Dot};
  return kKernels;
}

}  // namespace evilmoe
