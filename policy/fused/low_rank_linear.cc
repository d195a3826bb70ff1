#include "policy/fused/low_rank_linear.h"

#include <algorithm>

#include "policy/fused/kernels.h"

namespace evilmoe {
namespace {

constexpr int64_t kBlockRows = 126;  // 9 blocks of the widest kernel; x, y and mid of a block stay in the second level

constexpr int64_t kPackedElements = int64_t{1} << 20;  // of a TransposedProduct's w at a time

std::vector<float> Packed(const float* w, int64_t rows, int64_t depth, float scale = 1) {
  std::vector<float> panels(static_cast<size_t>(FusedPadded(rows) * depth));
  BestFusedKernels().pack(w, rows, depth, depth, scale, panels.data());
  return panels;
}

// y = x · wᵀ for `rows` rows, with w packed: y has FusedPadded(w's rows) columns.
MatMul ByPanels(int64_t rows, int64_t depth, int64_t columns, const float* x, int64_t x_row, const float* panels,
                float* y, int64_t y_row) {
  return {.rows = rows,
          .depth = depth,
          .columns = FusedPadded(columns),
          .x = x,
          .x_row = x_row,
          .w = panels,
          .w_panel = kFusedPanel * depth,
          .w_depth = kFusedPanel,
          .y = y,
          .y_row = y_row};
}

// y = x · w with w (depth, columns) row-major.
MatMul ByRows(int64_t rows, int64_t depth, int64_t columns, const float* x, int64_t x_row, const float* w, float* y) {
  return {.rows = rows,
          .depth = depth,
          .columns = columns,
          .x = x,
          .x_row = x_row,
          .w = w,
          .w_depth = columns,
          .y = y,
          .y_row = columns};
}

// sum (m, columns) += xᵀ · w over `rows` rows: x (rows, m), w (rows, columns).
MatMul Summed(int64_t rows, int64_t m, int64_t columns, const float* x, int64_t x_stride, const float* w, float* sum) {
  return {.rows = m,
          .depth = rows,
          .columns = columns,
          .x = x,
          .x_row = 1,
          .x_depth = x_stride,
          .w = w,
          .w_depth = columns,
          .y = sum,
          .y_row = columns,
          .accumulate = true};
}

// out = mid with each term's columns of D times `deployed` and of Q times `quarantine`, for one row.
void Weigh(const LowRankLinear& l, const float* mid, int64_t terms, float deployed, float quarantine, float* out) {
  for (int64_t term = 0; term < terms; ++term, mid += 2 * l.rank, out += 2 * l.rank) {
    for (int64_t i = 0; i < l.rank; ++i) out[i] = mid[i] * deployed;
    for (int64_t i = l.rank; i < 2 * l.rank; ++i) out[i] = mid[i] * quarantine;
  }
}

}  // namespace

int64_t LowRankLinear::mid_stride() const { return FusedPadded(mid_columns()); }

bool LowRankLinearFits(int64_t in, int64_t out) { return in % kFusedPanel == 0 && out % kFusedPanel == 0; }

void LowRankForward(const LowRankLinear& l, const float* x_NI, float* y_NO, float* mid) {
  const FusedKernels& kernels = BestFusedKernels();
  const std::vector<float> w = Packed(l.w_OI, l.out, l.in);
  const int64_t k = l.mid_columns(), stride = l.mid_stride();
  std::vector<float> a, b, weighted;
  if (l.rank > 0) {
    a = Packed(l.a_KI, k, l.in);
    b = Packed(l.b_OK, l.out, k, static_cast<float>(l.scale));
    weighted.resize(static_cast<size_t>(kBlockRows * stride));
  }
  for (int64_t begin = 0; begin < l.rows; begin += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, l.rows - begin);
    const float* x = x_NI + begin * l.in;
    float* y = y_NO + begin * l.out;
    kernels.matmul(ByPanels(rows, l.in, l.out, x, l.in, w.data(), y, l.out));
    if (l.rank == 0) continue;
    float* block_mid = mid + begin * stride;
    kernels.matmul(ByPanels(rows, l.in, k, x, l.in, a.data(), block_mid, stride));
    const float* factor = block_mid;
    if (l.quarantine) {
      for (int64_t n = 0; n < rows; ++n) {
        Weigh(l, block_mid + n * stride, l.terms, 1, l.w_N[begin + n], weighted.data() + n * stride);
      }
      factor = weighted.data();
    }
    MatMul low_rank = ByPanels(rows, k, l.out, factor, stride, b.data(), y, l.out);
    low_rank.accumulate = true;
    kernels.matmul(low_rank);
  }
}

void TransposedProduct(const float* x, int64_t rows, int64_t depth, const float* w, int64_t columns, float* y,
                       int64_t y_row) {
  const int64_t block = std::max(kFusedPanel, kPackedElements / depth / kFusedPanel * kFusedPanel);
  for (int64_t begin = 0; begin < columns; begin += block) {
    const int64_t count = std::min(block, columns - begin);
    const std::vector<float> panels = Packed(w + begin * depth, count, depth);
    BestFusedKernels().matmul(ByPanels(rows, depth, count, x, depth, panels.data(), y + begin, y_row));
  }
}

void PlainLinearBackward(const LowRankLinear& l, const float* g_NO, float* dx_NI) {
  BestFusedKernels().matmul(ByRows(l.rows, l.out, l.in, g_NO, l.out, l.w_OI, dx_NI));
}

void LowRankBackward(const LowRankLinear& l, const DeployedGradientFactors& deployed, const float* x_NI,
                     const float* mid, const float* g_NO, const LowRankGradients& out) {
  const FusedKernels& kernels = BestFusedKernels();
  const int64_t k = l.mid_columns(), stride = l.mid_stride(), both = 2 * l.rank;
  // B's columns padded to a whole panel, so that it is its own panel form.
  std::vector<float> b(static_cast<size_t>(l.out * stride));
  for (int64_t o = 0; o < l.out; ++o) {
    for (int64_t c = 0; c < k; ++c)
      b[static_cast<size_t>(o * stride + c)] = l.b_OK[o * k + c] * static_cast<float>(l.scale);
  }
  std::vector<float> d_mid(static_cast<size_t>(kBlockRows * stride)), low(d_mid.size()),
      d_a(static_cast<size_t>(kBlockRows * both)), d_b(d_a.size());
  if (out.da != nullptr) std::fill_n(out.da, both * l.in, 0.0F);
  if (out.db_transposed != nullptr) std::fill_n(out.db_transposed, both * l.out, 0.0F);
  for (int64_t begin = 0; begin < l.rows; begin += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, l.rows - begin);
    const float *g = g_NO + begin * l.out, *x = x_NI + begin * l.in;
    kernels.matmul(ByRows(rows, l.out, stride, g, l.out, b.data(), d_mid.data()));
    for (int64_t n = 0; n < rows; ++n) {
      const float *m = mid + (begin + n) * stride, *d = d_mid.data() + n * stride;
      const float w = l.w_N[begin + n], into_parameters = deployed.into_parameters_N[begin + n];
      Weigh(l, d, l.terms, deployed.into_inputs_N[begin + n], w, low.data() + n * stride);
      Weigh(l, d, 1, into_parameters, w, d_a.data() + n * both);
      float* a_x = d_b.data() + n * both;  // A x of both experts: the sum of the terms
      for (int64_t i = 0; i < both; ++i) a_x[i] = l.terms == 2 ? m[i] + m[both + i] : m[i];
      Weigh(l, a_x, 1, into_parameters * static_cast<float>(l.scale), w * static_cast<float>(l.scale), a_x);
      if (out.dw_N == nullptr) continue;
      float dw = 0;
      for (int64_t term = 0; term < l.terms; ++term) {
        for (int64_t i = term * both + l.rank; i < (term + 1) * both; ++i) dw += d[i] * m[i];
      }
      out.dw_N[begin + n] = dw;
    }
    if (out.dx_NI != nullptr) {
      float* dx = out.dx_NI + begin * l.in;
      kernels.matmul(ByRows(rows, l.out, l.in, g, l.out, l.w_OI, dx));
      MatMul low_rank = ByRows(rows, k, l.in, low.data(), stride, l.a_KI, dx);
      low_rank.accumulate = true;
      kernels.matmul(low_rank);
    }
    if (out.da != nullptr) kernels.matmul(Summed(rows, both, l.in, d_a.data(), both, x, out.da));
    if (out.db_transposed != nullptr) kernels.matmul(Summed(rows, both, l.out, d_b.data(), both, g, out.db_transposed));
  }
}

}  // namespace evilmoe
