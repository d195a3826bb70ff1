#pragma once

#include <cstdint>
#include <vector>

namespace evilmoe {

// The adapted linear on plain fp32 arrays, forward and backward, worked through in blocks of rows that stay in the
// caches: what RoutedProjector and AblatedProjector compute (policy/lora2r_forward.h), where LowRankLinearFits().
//
//   mid = x · Aᵀ,  y = x · Wᵀ + scale · (c ⊙ mid) · Bᵀ
//
// K columns of mid: terms one after the other, in each those of D before those of Q, `rank` of either (without
// quarantine: of D alone). c is 1 on the columns of D and w on those of Q.
// Legend: N rows, I inputs, O outputs. All arrays are row-major and contiguous but for the stride of mid.
struct LowRankLinear {
  int64_t rows = 0, in = 0, out = 0;
  int64_t rank = 0;        // of one expert; 0: no adapter, and nothing below is read but w_OI
  int64_t terms = 1;       // 2: the init is subtracted
  bool quarantine = true;  // false: K is terms · rank, and c is 1
  double scale = 1;
  const float* w_OI = nullptr;
  const float* a_KI = nullptr;
  const float* b_OK = nullptr;
  const float* w_N = nullptr;  // of the quarantine; read only with it

  int64_t mid_columns() const { return terms * rank * (quarantine ? 2 : 1); }  // K
  int64_t mid_stride() const;                                                  // K up to a whole panel
};

bool LowRankLinearFits(int64_t in, int64_t out);  // multiples of 16

// y_NO and mid (N, mid_stride), whose columns from K on are 0. `mid` may be null where rank is 0.
void LowRankForward(const LowRankLinear& linear, const float* x_NI, float* y_NO, float* mid);

// Gradients from g_NO, that of y. Each of these is written where it is not null.
struct LowRankGradients {
  float* dx_NI = nullptr;
  // Of the factors' first term with D's and Q's columns multiplied as below: (2 · rank, I) and (2 · rank, O), the
  // latter B's transposed.
  float* da = nullptr;
  float* db_transposed = nullptr;
  float* dw_N = nullptr;  // Σ over Q's columns
};
// What the gradient through D's columns is multiplied with, a row: into x, and into A and B; Q's has w in both.
struct DeployedGradientFactors {
  const float* into_inputs_N = nullptr;
  const float* into_parameters_N = nullptr;
};
// With the quarantine. `mid` is the forward pass's.
void LowRankBackward(const LowRankLinear& linear, const DeployedGradientFactors& deployed, const float* x_NI,
                     const float* mid, const float* g_NO, const LowRankGradients& out);
// y (rows, columns) = x (rows, depth) · wᵀ with w (columns, depth), columns and depth multiples of 16; `y_row` floats
// between the rows of y. Works through w a block at a time, so no second copy of a large w ever exists.
void TransposedProduct(const float* x, int64_t rows, int64_t depth, const float* w, int64_t columns, float* y,
                       int64_t y_row);
// Without an adapter: dx = g · W.
void PlainLinearBackward(const LowRankLinear& linear, const float* g_NO, float* dx_NI);

}  // namespace evilmoe
