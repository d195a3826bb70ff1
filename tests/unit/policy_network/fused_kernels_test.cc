#include "policy/fused/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace evilmoe {
namespace {

// Numbers in [-1, 1) from a seed alone.
std::vector<float> Numbers(int64_t count, uint32_t seed) {
  std::vector<float> out(static_cast<size_t>(count));
  uint32_t state = seed * 2654435761U + 1;
  for (float& x : out) {
    state = state * 1664525U + 1013904223U;
    x = static_cast<float>(state >> 8) / 8388608.0F - 1;
  }
  return out;
}

class FusedKernelsTest : public ::testing::TestWithParam<int> {
 protected:
  const FusedKernels& kernels() const { return *list_.all[GetParam()]; }
  void SetUp() override {
    if (GetParam() >= list_.count) GTEST_SKIP() << "this CPU has no such instructions";
  }
  const FusedKernelList list_ = UsableFusedKernels();
};

struct ProductCase {
  int64_t rows, depth, columns;
  bool transposed, panels, accumulate;
};

// Rows up to two blocks of the widest kernel and one more, odd depths, one to five panels.
TEST_P(FusedKernelsTest, ProductsAreThoseOfDoublePrecision) {
  int cases = 0;
  for (const int64_t rows : {1, 2, 13, 14, 15, 29, 126}) {
    for (const int64_t depth : {1, 8, 31, 64}) {
      for (const int64_t columns : {16, 48, 80}) {
        for (int bits = 0; bits < 8; ++bits) {
          const ProductCase c{rows, depth, columns, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
          const std::vector<float> x = Numbers(rows * depth, 1),
                                   w = Numbers(depth * columns, 2);  // w: (depth, columns)
          std::vector<float> y = Numbers(rows * columns, 3);
          const std::vector<float> before = y;
          std::vector<float> columns_of_w(w.size()), panels(w.size());
          for (int64_t k = 0; k < depth; ++k) {
            for (int64_t j = 0; j < columns; ++j) {
              columns_of_w[static_cast<size_t>(j * depth + k)] = w[static_cast<size_t>(k * columns + j)];
            }
          }
          kernels().pack(columns_of_w.data(), columns, depth, depth, 1, panels.data());
          kernels().matmul({.rows = rows,
                            .depth = depth,
                            .columns = columns,
                            .x = x.data(),
                            .x_row = c.transposed ? 1 : depth,
                            .x_depth = c.transposed ? rows : 1,
                            .w = c.panels ? panels.data() : w.data(),
                            .w_panel = c.panels ? kFusedPanel * depth : kFusedPanel,
                            .w_depth = c.panels ? kFusedPanel : columns,
                            .y = y.data(),
                            .y_row = columns,
                            .accumulate = c.accumulate});
          for (int64_t i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < columns; ++j) {
              const auto at = static_cast<size_t>(i * columns + j);
              double want = c.accumulate ? before[at] : 0;
              for (int64_t k = 0; k < depth; ++k) {
                want += static_cast<double>(x[static_cast<size_t>(c.transposed ? k * rows + i : i * depth + k)]) *
                        w[static_cast<size_t>(k * columns + j)];
              }
              ASSERT_NEAR(y[at], want, 1e-5) << rows << "x" << depth << "x" << columns << " bits " << bits;
            }
          }
          ++cases;
        }
      }
    }
  }
  EXPECT_EQ(cases, 7 * 4 * 3 * 8);
}

TEST_P(FusedKernelsTest, ARowsBitsDoNotDependOnTheRowsBesideIt) {
  constexpr int64_t kRows = 37, kDepth = 33, kColumns = 48;
  const std::vector<float> x = Numbers(kRows * kDepth, 4), w = Numbers(kDepth * kColumns, 5);
  const auto run = [&](int64_t begin, int64_t rows, float* y) {
    kernels().matmul({.rows = rows,
                      .depth = kDepth,
                      .columns = kColumns,
                      .x = x.data() + begin * kDepth,
                      .x_row = kDepth,
                      .w = w.data(),
                      .w_depth = kColumns,
                      .y = y,
                      .y_row = kColumns});
  };
  std::vector<float> all(kRows * kColumns), one(kColumns);
  run(0, kRows, all.data());
  for (int64_t i = 0; i < kRows; ++i) {
    run(i, 1, one.data());
    EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + i * kColumns)) << i;
  }
}

TEST_P(FusedKernelsTest, PackFillsAPanelsMissingColumnsWithZeros) {
  const std::vector<float> w = Numbers(18 * 3, 6);
  std::vector<float> panels(32 * 3, 7.0F);
  kernels().pack(w.data(), 18, 3, 3, 2, panels.data());
  for (size_t j = 0; j < 32; ++j) {
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(panels[(j / 16) * 48 + k * 16 + j % 16], j < 18 ? 2 * w[j * 3 + k] : 0.0F) << j << " " << k;
    }
  }
}

TEST_P(FusedKernelsTest, ExponentialsAreThoseOfDoublePrecisionAndNothingOfMinusInfinity) {
  std::vector<float> s = Numbers(48, 7);
  for (float& x : s) x *= 30;
  for (size_t i = 40; i < 48; ++i) s[i] = -std::numeric_limits<float>::infinity();
  const std::vector<float> before = s;
  float top = 0;
  const float sum = kernels().exponentials(s.data(), 48, &top);
  EXPECT_EQ(top, *std::max_element(before.begin(), before.end()));
  double want_sum = 0;
  for (size_t i = 0; i < 48; ++i) {
    const double want = std::exp(static_cast<double>(before[i]) - top);
    EXPECT_NEAR(s[i], want, 1e-6) << i;
    want_sum += want;
  }
  EXPECT_NEAR(sum, want_sum, 1e-5);
  EXPECT_EQ(s[45], 0);
}

TEST_P(FusedKernelsTest, SwigluStaysFiniteWhereTheExponentialWouldNot) {
  std::vector<float> gate(16, -200.0F), up(16, 3.0F), g(16, 1.0F), out(16), d_gate(16), d_up(16);
  for (size_t i = 8; i < 16; ++i) gate[i] = 200.0F;
  kernels().swiglu(gate.data(), up.data(), 16, out.data());
  kernels().swiglu_backward(gate.data(), up.data(), g.data(), 16, d_gate.data(), d_up.data());
  EXPECT_NEAR(out[0], 0, 1e-30);
  EXPECT_EQ(out[15], 600.0F);
  EXPECT_NEAR(d_gate[0], 0, 1e-30);
  EXPECT_EQ(d_gate[15], 3.0F);
  EXPECT_EQ(d_up[15], 200.0F);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, FusedKernelsTest, ::testing::Values(0, 1, 2));

}  // namespace
}  // namespace evilmoe
