// The kernels over GCC's vector types, one source for every instruction set: kernels_<set>.cc defines
//   EVILMOE_KERNELS   name of the function that returns the table
//   EVILMOE_LANES     floats in a register: 4, 8 or 16
//   EVILMOE_ROWS      rows of a GEMM block, as many as the registers hold beside the weights
//   EVILMOE_PANELS    panels of a GEMM block
// and includes this once. With __AVX512BF16__ the bf16 GEMM uses the dot product of pairs.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#include "policy/sampler/kernels.h"
#include "policy/simd.h"

namespace evilmoe {
namespace {

constexpr int kVecs = static_cast<int>(kPanel / kLanes);  // registers in 16 floats

// One block of a GEMM: kRows rows by kPanels panels, all sums in registers.
template <int kRows, int kPanels>
inline void BlockF32(const GemmArgs& a, const float* x, const float* w, float* y) {
  Vec sums[kRows][kPanels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) sums[r][c] = a.accumulate ? Load(y + r * a.y_stride + c * kLanes) : Vec{};
  }
  const int64_t panel_floats = a.in * kPanel;
  for (int64_t k = 0; k < a.in; ++k) {
    Vec weights[kPanels * kVecs];
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) {
      weights[c] = Load(w + (c / kVecs) * panel_floats + k * kPanel + (c % kVecs) * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec scale = Splat(x[r * a.x_stride + k]);
#pragma GCC unroll 8
      for (int c = 0; c < kPanels * kVecs; ++c) sums[r][c] += scale * weights[c];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) Store(y + r * a.y_stride + c * kLanes, sums[r][c]);
  }
}

template <int kRows, int kPanels>
inline void BlockBf16(const GemmArgs& a, const uint16_t* x, const uint16_t* w, float* y) {
  Vec sums[kRows][kPanels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) sums[r][c] = a.accumulate ? Load(y + r * a.y_stride + c * kLanes) : Vec{};
  }
  const int64_t pairs = (a.in + 1) / 2;
  const int64_t panel_numbers = pairs * 2 * kPanel;
  for (int64_t k = 0; k < pairs; ++k) {
    BitVec weights[kPanels * kVecs];
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) {
      std::memcpy(&weights[c], w + (c / kVecs) * panel_numbers + (k * kPanel + (c % kVecs) * kLanes) * 2, sizeof(BitVec));
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      uint32_t pair;
      std::memcpy(&pair, x + r * a.x_stride + 2 * k, sizeof pair);
#if defined(__AVX512BF16__)
      const __m512i both = _mm512_set1_epi32(static_cast<int>(pair));
#pragma GCC unroll 8
      for (int c = 0; c < kPanels * kVecs; ++c) {
        sums[r][c] = reinterpret_cast<Vec>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sums[r][c]),
                                                            reinterpret_cast<__m512bh>(both),
                                                            reinterpret_cast<__m512bh>(weights[c])));
      }
#else
      const Vec even = AsFloats((pair << 16) - BitVec{});
      const Vec odd = AsFloats((pair & 0xFFFF0000u) - BitVec{});
#pragma GCC unroll 8
      for (int c = 0; c < kPanels * kVecs; ++c) {
        sums[r][c] += even * AsFloats(weights[c] << 16);
        sums[r][c] += odd * AsFloats(weights[c] & 0xFFFF0000u);
      }
#endif
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kPanels * kVecs; ++c) Store(y + r * a.y_stride + c * kLanes, sums[r][c]);
  }
}

template <int kPanels>
struct RowsF32 {
  template <int kRows>
  static void Run(const GemmArgs& a, int64_t row, int64_t panel) {
    BlockF32<kRows, kPanels>(a, a.x + row * a.x_stride, static_cast<const float*>(a.weights) + panel * a.in * kPanel,
                             a.y + row * a.y_stride + panel * kPanel);
  }
};
template <int kPanels>
struct RowsBf16 {
  template <int kRows>
  static void Run(const GemmArgs& a, int64_t row, int64_t panel) {
    BlockBf16<kRows, kPanels>(a, a.x_bf16 + row * a.x_stride,
                              static_cast<const uint16_t*>(a.weights) + panel * ((a.in + 1) / 2 * 2) * kPanel,
                              a.y + row * a.y_stride + panel * kPanel);
  }
};

// Calls Block::Run<rows>: the block sizes are template arguments, so that the sums stay in registers.
template <typename Block, int kRows>
inline void Dispatch(const GemmArgs& a, int rows, int64_t row, int64_t panel) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return Block::template Run<kRows>(a, row, panel);
    Dispatch<Block, kRows - 1>(a, rows, row, panel);
  }
}

// All rows in blocks of like size, for one group of panels.
template <typename Block>
inline void AllRows(const GemmArgs& a, int64_t panel) {
  const int64_t blocks = (a.rows + EVILMOE_ROWS - 1) / EVILMOE_ROWS;
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = a.rows * b / blocks, end = a.rows * (b + 1) / blocks;
    Dispatch<Block, EVILMOE_ROWS>(a, static_cast<int>(end - begin), begin, panel);
  }
}

template <template <int> typename Block>
inline void Gemm(const GemmArgs& a, int64_t begin, int64_t end) {
  int64_t panel = begin;
  for (; panel + EVILMOE_PANELS <= end; panel += EVILMOE_PANELS) AllRows<Block<EVILMOE_PANELS>>(a, panel);
  for (; panel < end; ++panel) AllRows<Block<1>>(a, panel);
}

void GemmF32(const GemmArgs& a, int64_t begin, int64_t end) { Gemm<RowsF32>(a, begin, end); }
void GemmBf16(const GemmArgs& a, int64_t begin, int64_t end) { Gemm<RowsBf16>(a, begin, end); }

constexpr int kIntoL2 = 1;  // the first level has too few miss buffers for all that must be under way

template <typename Number>
const Number* AheadOf(const AttentionArgs& a, int64_t tile) {
  return tile < a.num_ahead ? static_cast<const Number*>(a.ahead[tile]) : nullptr;
}

// Scores of kQueries queries against one tile: two chains a query, of the even and of the odd channels.
template <int kQueries, typename Number>
inline void ScoreTile(const AttentionArgs& a, int64_t first, const Number* keys, int64_t tile, const Number* ahead) {
  Vec sums[kQueries][2][kVecs] = {};
  for (int64_t c = 0; c < a.head_dim; c += 2) {
    if (ahead != nullptr) {
      __builtin_prefetch(ahead + c * kPanel, 0, kIntoL2);
      if (sizeof(Number) == 4) __builtin_prefetch(ahead + (c + 1) * kPanel, 0, kIntoL2);
    }
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        const Vec key = Load(keys + (c + odd) * kPanel + v * kLanes);
#pragma GCC unroll 4
        for (int q = 0; q < kQueries; ++q) sums[q][odd][v] += Splat(a.queries[first + q][c + odd]) * key;
      }
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      Store(a.scores[first + q] + tile * kPanel + v * kLanes, sums[q][0][v] + sums[q][1][v]);
    }
  }
}

template <typename Number>
void Scores(const AttentionArgs& a) {
  for (int64_t tile = 0; tile < a.num_tiles; ++tile) {
    const auto* keys = static_cast<const Number*>(a.tiles[tile]);
    const Number* fetch = AheadOf<Number>(a, tile);
    int64_t q = 0;
    for (; q + 4 <= a.num_queries; q += 4, fetch = nullptr) ScoreTile<4>(a, q, keys, tile, fetch);
    for (; q + 2 <= a.num_queries; q += 2, fetch = nullptr) ScoreTile<2>(a, q, keys, tile, fetch);
    for (; q < a.num_queries; ++q, fetch = nullptr) ScoreTile<1>(a, q, keys, tile, fetch);
  }
}

// Adds one tile's weighted values to kQueries outputs, kWide · 16 channels at a time.
template <int kQueries, int kWide, typename Number>
inline void AddTile(const AttentionArgs& a, int64_t first, const Number* values, int64_t tile, int64_t channel,
                    const Number* ahead) {
  const int64_t stride = PanelPadded(a.head_dim);
  Vec sums[kQueries][kWide * kVecs];
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int v = 0; v < kWide * kVecs; ++v) sums[q][v] = Load(a.outputs[first + q] + channel + v * kLanes);
  }
  for (int64_t t = 0; t < kPanel; ++t) {
    const int64_t at = t * stride + channel;
    if (ahead != nullptr) {
      __builtin_prefetch(ahead + at, 0, kIntoL2);
      if (kWide > 1 && sizeof(Number) == 4) __builtin_prefetch(ahead + at + kPanel, 0, kIntoL2);
    }
#pragma GCC unroll 8
    for (int v = 0; v < kWide * kVecs; ++v) {
      const Vec value = Load(values + at + v * kLanes);
#pragma GCC unroll 4
      for (int q = 0; q < kQueries; ++q) sums[q][v] += Splat(a.scores[first + q][tile * kPanel + t]) * value;
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int v = 0; v < kWide * kVecs; ++v) Store(a.outputs[first + q] + channel + v * kLanes, sums[q][v]);
  }
}

template <int kQueries, typename Number>
inline void AddTileChannels(const AttentionArgs& a, int64_t first, const Number* values, int64_t tile,
                            const Number* ahead) {
  const int64_t stride = PanelPadded(a.head_dim);
  int64_t channel = 0;
  for (; channel + 2 * kPanel <= stride; channel += 2 * kPanel) {
    AddTile<kQueries, 2>(a, first, values, tile, channel, ahead);
  }
  for (; channel < stride; channel += kPanel) AddTile<kQueries, 1>(a, first, values, tile, channel, ahead);
}

template <typename Number>
void Values(const AttentionArgs& a) {
  for (int64_t tile = 0; tile < a.num_tiles; ++tile) {
    const auto* values = static_cast<const Number*>(a.tiles[tile]);
    const Number* fetch = AheadOf<Number>(a, tile);
    int64_t q = 0;
    for (; q + 4 <= a.num_queries; q += 4, fetch = nullptr) AddTileChannels<4>(a, q, values, tile, fetch);
    for (; q + 2 <= a.num_queries; q += 2, fetch = nullptr) AddTileChannels<2>(a, q, values, tile, fetch);
    for (; q < a.num_queries; ++q, fetch = nullptr) AddTileChannels<1>(a, q, values, tile, fetch);
  }
}

inline float MaximumOf(const float* x, int64_t n) {
  float top = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  if (n >= kLanes) {
    Vec best = Load(x);
    for (i = kLanes; i + kLanes <= n; i += kLanes) {
      const Vec v = Load(x + i);
      best = v > best ? v : best;
    }
    for (int64_t l = 0; l < kLanes; ++l) top = std::max(top, best[l]);
  }
  for (; i < n; ++i) top = std::max(top, x[i]);
  return top;
}

float Softmax(float* scores, int64_t n) {
  const Vec top = Splat(MaximumOf(scores, n));
  Vec sum = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec e = Exp(Load(scores + i) - top);
    Store(scores + i, e);
    sum += e;
  }
  return Sum(sum);
}

void RmsNorm(const float* x, const float* weight, double eps, int64_t n, float* out) {
  Vec squares = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) squares += Load(x + i) * Load(x + i);
  float sum = Sum(squares);
  for (; i < n; ++i) sum += x[i] * x[i];
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(sum) / static_cast<double>(n) + eps));
  for (i = 0; i + kLanes <= n; i += kLanes) Store(out + i, Load(x + i) * scale * Load(weight + i));
  for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

// n is a multiple of the register: rows are padded to 16.
void Swiglu(float* gate, const float* up, int64_t n) {
  const Vec most = Splat(87.0f);
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec g = Load(gate + i);
    const Vec minus = -g > most ? most : -g;
    Store(gate + i, g / (1.0f + Exp(minus)) * Load(up + i));
  }
}

void ToBf16(const float* x, int64_t n, uint16_t* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const BitVec bits = reinterpret_cast<BitVec>(Load(x + i));
    const BitVec rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    const HalfVec half = __builtin_convertvector(rounded, HalfVec);
    std::memcpy(out + i, &half, sizeof half);
  }
  for (; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    out[i] = static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
  }
}

void Exponentials(const float* logits, int64_t n, float top, float inverse_temperature, float* weights,
                  double* block_sums) {
  for (int64_t begin = 0, block = 0; begin < n; begin += kSumBlock, ++block) {
    const int64_t end = std::min(n, begin + kSumBlock);
    Vec sum = {};
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const Vec e = Exp((Load(logits + i) - top) * inverse_temperature);
      if (weights != nullptr) Store(weights + i, e);
      sum += e;
    }
    float tail = 0;
    if (i < end) {
      float padded[kLanes];
      std::fill(padded, padded + kLanes, -std::numeric_limits<float>::infinity());
      std::copy(logits + i, logits + end, padded);
      const Vec e = Exp((Load(padded) - top) * inverse_temperature);
      for (int64_t l = 0; i < end; ++i, ++l) {
        if (weights != nullptr) weights[i] = e[l];
        tail += e[l];
      }
    }
    block_sums[block] = static_cast<double>(Sum(sum)) + static_cast<double>(tail);
  }
}

}  // namespace

const Kernels& EVILMOE_KERNELS() {
  static constexpr Kernels kKernels = {
      EVILMOE_KERNELS_NAME, GemmF32,      GemmBf16, Scores<float>, Scores<uint16_t>, Values<float>, Values<uint16_t>,
      Softmax,              RmsNorm,      Swiglu,   ToBf16,        MaximumOf,        Exponentials};
  return kKernels;
}

}  // namespace evilmoe
