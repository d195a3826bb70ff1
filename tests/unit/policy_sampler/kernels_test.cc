#include "policy/sampler/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "common/seed.h"
#include "policy/sampler/bfloat16.h"
#include "policy/sampler/packed_matrix.h"

namespace evilmoe {
namespace {

// Every instruction set that this CPU has, against naive double precision.
class KernelsTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const KernelList usable = UsableKernels();
    if (GetParam() >= usable.count) GTEST_SKIP() << "this CPU has not the instruction set";
    kernels_ = usable.all[GetParam()];
  }
  const Kernels& kernels() const { return *kernels_; }

 private:
  const Kernels* kernels_ = nullptr;
};

std::vector<float> RandomFloats(int64_t count, uint64_t seed, double deviation = 1.0) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) {
    out.push_back(static_cast<float>(deviation * CounterNormal(seed, static_cast<uint64_t>(i))));
  }
  return out;
}

struct GemmShape {
  int64_t rows, in, out;
};
constexpr GemmShape kShapes[] = {{1, 8, 16}, {2, 7, 5}, {3, 64, 48}, {5, 33, 17}, {14, 16, 32}, {29, 40, 61}, {64, 96, 80}};

struct GemmRun {
  std::vector<float> y;
  int64_t stride;
};

GemmRun RunGemm(const Kernels& kernels, const PackedMatrix& w, const std::vector<float>& x, int64_t rows,
                bool accumulate) {
  const bool bf16 = w.format() == NumberFormat::kBFloat16;
  const int64_t stride = PanelPadded(w.in());
  std::vector<float> padded(static_cast<size_t>(rows * stride), 0.0f);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(x.data() + r * w.in(), w.in(), padded.data() + r * stride);
  std::vector<uint16_t> rounded(padded.size());
  kernels.to_bf16(padded.data(), static_cast<int64_t>(padded.size()), rounded.data());
  GemmRun run{std::vector<float>(static_cast<size_t>(rows * w.out()), 0.25f), w.out()};
  const GemmArgs args{padded.data(), rounded.data(), stride,   rows,      w.in(),
                      w.data(),      run.y.data(),   w.out(),  accumulate};
  // In two pieces, as two threads would.
  const int64_t cut = w.panels() / 2;
  (bf16 ? kernels.gemm_bf16 : kernels.gemm_f32)(args, 0, cut);
  (bf16 ? kernels.gemm_bf16 : kernels.gemm_f32)(args, cut, w.panels());
  return run;
}

TEST_P(KernelsTest, GemmAgreesWithDoublePrecision) {
  for (const NumberFormat format : {NumberFormat::kFloat32, NumberFormat::kBFloat16}) {
    for (const auto& [rows, in, out] : kShapes) {
      const std::vector<float> x = RandomFloats(rows * in, 1), w = RandomFloats(out * in, 2);
      const MatrixRows source{w.data(), MatrixRows::Format::kFloat32, out};
      const PackedMatrix packed = PackedMatrix::Pack(format, in, {&source, 1});
      for (const bool accumulate : {false, true}) {
        const GemmRun run = RunGemm(kernels(), packed, x, rows, accumulate);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < out; ++o) {
            double want = accumulate ? 0.25 : 0.0;
            for (int64_t k = 0; k < in; ++k) {
              const float xv = x[static_cast<size_t>(r * in + k)], wv = w[static_cast<size_t>(o * in + k)];
              want += format == NumberFormat::kFloat32
                          ? static_cast<double>(xv) * wv
                          : static_cast<double>(Bf16ToFloat(FloatToBf16(xv))) * Bf16ToFloat(FloatToBf16(wv));
            }
            EXPECT_NEAR(run.y[static_cast<size_t>(r * run.stride + o)], want, 3e-5)
                << rows << "x" << in << "x" << out << " row " << r << " output " << o;
          }
        }
      }
    }
  }
}

TEST_P(KernelsTest, ARowsBitsDoNotDependOnTheOtherRows) {
  for (const NumberFormat format : {NumberFormat::kFloat32, NumberFormat::kBFloat16}) {
    const int64_t rows = 64, in = 96, out = 80;
    const std::vector<float> x = RandomFloats(rows * in, 3), w = RandomFloats(out * in, 4);
    const MatrixRows source{w.data(), MatrixRows::Format::kFloat32, out};
    const PackedMatrix packed = PackedMatrix::Pack(format, in, {&source, 1});
    const GemmRun all = RunGemm(kernels(), packed, x, rows, false);
    for (int64_t count = 1; count <= 31; ++count) {
      const int64_t first = (7 * count) % 33;
      const std::vector<float> part(x.begin() + first * in, x.begin() + (first + count) * in);
      const GemmRun some = RunGemm(kernels(), packed, part, count, false);
      const std::vector<float> want(all.y.begin() + first * all.stride, all.y.begin() + (first + count) * all.stride);
      EXPECT_EQ(some.y, want) << count << " rows";
    }
  }
}

template <typename Number>
std::vector<Number> Tile(const std::vector<float>& keys, const std::vector<float>& values, int64_t head_dim,
                         Number (*convert)(float)) {
  const int64_t padded = PanelPadded(head_dim);
  std::vector<Number> tile(static_cast<size_t>(kPanel * (head_dim + padded)), Number{0});
  for (int64_t t = 0; t < kPanel; ++t) {
    for (int64_t c = 0; c < head_dim; ++c) {
      tile[static_cast<size_t>(c * kPanel + t)] = convert(keys[static_cast<size_t>(t * head_dim + c)]);
      tile[static_cast<size_t>(head_dim * kPanel + t * padded + c)] =
          convert(values[static_cast<size_t>(t * head_dim + c)]);
    }
  }
  return tile;
}

float Same(float x) { return x; }

// num_queries queries over three tiles: scores and weighted values.
template <typename Number>
void CheckAttention(int64_t head_dim, int64_t num_queries, Number (*convert)(float),
                    void (*scores)(const AttentionArgs&), void (*values)(const AttentionArgs&)) {
  constexpr int64_t kTiles = 3;
  std::vector<std::vector<float>> k, v;
  std::vector<std::vector<Number>> tiles;
  std::vector<const void*> pointers;
  for (uint64_t t = 0; t < kTiles; ++t) {
    k.push_back(RandomFloats(kPanel * head_dim, 10 + t));
    v.push_back(RandomFloats(kPanel * head_dim, 20 + t));
    for (std::vector<float>* numbers : {&k.back(), &v.back()}) {
      for (float& x : *numbers) x = Bf16ToFloat(FloatToBf16(x));  // exact in both formats
    }
    tiles.push_back(Tile<Number>(k.back(), v.back(), head_dim, convert));
    pointers.push_back(tiles.back().data());
  }
  const std::vector<float> q = RandomFloats(num_queries * head_dim, 5);
  std::vector<float> s(static_cast<size_t>(num_queries * kTiles * kPanel));
  std::vector<float> out(static_cast<size_t>(num_queries * PanelPadded(head_dim)), 0.5f);
  std::vector<const float*> queries;
  std::vector<float*> score_rows, output_rows;
  for (int64_t i = 0; i < num_queries; ++i) {
    queries.push_back(q.data() + i * head_dim);
    score_rows.push_back(s.data() + i * kTiles * kPanel);
    output_rows.push_back(out.data() + i * PanelPadded(head_dim));
  }
  const AttentionArgs args{.tiles = pointers.data(), .num_tiles = kTiles, .head_dim = head_dim,
                           .queries = queries.data(), .scores = score_rows.data(), .outputs = output_rows.data(),
                           .num_queries = num_queries};
  scores(args);
  for (int64_t i = 0; i < num_queries; ++i) {
    for (int64_t t = 0; t < kTiles * kPanel; ++t) {
      double want = 0;
      for (int64_t c = 0; c < head_dim; ++c) {
        want += static_cast<double>(queries[static_cast<size_t>(i)][c]) *
                k[static_cast<size_t>(t / kPanel)][static_cast<size_t>(t % kPanel * head_dim + c)];
      }
      EXPECT_NEAR(score_rows[static_cast<size_t>(i)][t], want, 1e-4);
    }
  }
  for (size_t t = 0; t < kTiles; ++t) pointers[t] = tiles[t].data() + kPanel * head_dim;
  values(args);
  for (int64_t i = 0; i < num_queries; ++i) {
    for (int64_t c = 0; c < head_dim; ++c) {
      double want = 0.5;
      for (int64_t t = 0; t < kTiles * kPanel; ++t) {
        want += static_cast<double>(score_rows[static_cast<size_t>(i)][t]) *
                v[static_cast<size_t>(t / kPanel)][static_cast<size_t>(t % kPanel * head_dim + c)];
      }
      EXPECT_NEAR(output_rows[static_cast<size_t>(i)][c], want, 1e-3);
    }
  }
}

TEST_P(KernelsTest, AttentionAgreesWithDoublePrecision) {
  for (const int64_t head_dim : {2, 8, 32, 48, 128}) {
    for (const int64_t queries : {1, 2, 3, 4, 7}) {
      CheckAttention<float>(head_dim, queries, Same, kernels().scores_f32, kernels().values_f32);
      CheckAttention<uint16_t>(head_dim, queries, FloatToBf16, kernels().scores_bf16, kernels().values_bf16);
    }
  }
}

TEST_P(KernelsTest, SoftmaxGivesHiddenPositionsNothing) {
  std::vector<float> scores = RandomFloats(48, 6, 5.0);
  for (size_t t = 37; t < scores.size(); ++t) scores[t] = -std::numeric_limits<float>::infinity();
  const std::vector<float> before = scores;
  double top = before[0], want_sum = 0;
  for (size_t t = 0; t < 37; ++t) top = std::max<double>(top, before[t]);
  const float sum = kernels().softmax(scores.data(), 48);
  for (size_t t = 0; t < scores.size(); ++t) {
    const double want = std::exp(before[t] - top);
    EXPECT_NEAR(scores[t], want, 1e-6);
    want_sum += want;
  }
  EXPECT_EQ(scores[40], 0.0f);
  EXPECT_NEAR(sum, want_sum, 1e-5);
}

TEST_P(KernelsTest, ExponentialsCoverTheRangeAndTheTail) {
  for (const int64_t n : {1, 15, 16, 17, 255, 256, 300, 1031}) {
    std::vector<float> logits = RandomFloats(n, 7, 20.0);
    const float top = kernels().maximum(logits.data(), n);
    EXPECT_EQ(top, *std::max_element(logits.begin(), logits.end()));
    std::vector<float> weights(logits.size());
    std::vector<double> sums(static_cast<size_t>((n + kSumBlock - 1) / kSumBlock));
    kernels().exponentials(logits.data(), n, top, 0.7f, weights.data(), sums.data());
    double total = 0, want_total = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      const double want = std::exp((static_cast<double>(logits[i]) - top) * static_cast<double>(0.7f));
      EXPECT_NEAR(weights[i], want, 1e-6 * std::max(1.0, std::abs(static_cast<double>(logits[i]) - top))) << i;
      want_total += want;
    }
    for (const double sum : sums) total += sum;
    EXPECT_NEAR(total, want_total, 1e-5 * want_total);
  }
}

TEST_P(KernelsTest, RmsNormSwigluAndRounding) {
  for (const int64_t n : {3, 16, 40, 128}) {
    const std::vector<float> x = RandomFloats(n, 8), w = RandomFloats(n, 9);
    std::vector<float> out(x.size());
    kernels().rms_norm(x.data(), w.data(), 1e-6, n, out.data());
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * v;
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(out[i], x[i] / std::sqrt(squares / static_cast<double>(n) + 1e-6) * w[i], 1e-5);
    }
  }
  std::vector<float> gate = RandomFloats(64, 10, 10.0);
  gate[0] = 200;
  gate[1] = -200;
  const std::vector<float> before = gate, up = RandomFloats(64, 11);
  kernels().swiglu(gate.data(), up.data(), 64);
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = before[i];
    EXPECT_NEAR(gate[i], g / (1 + std::exp(-g)) * up[i], 1e-5 * (1 + std::abs(g)));
  }
  std::vector<uint16_t> rounded(before.size());
  kernels().to_bf16(before.data(), 61, rounded.data());
  for (size_t i = 0; i < 61; ++i) EXPECT_EQ(rounded[i], FloatToBf16(before[i]));
  EXPECT_EQ(FloatToBf16(1.00390625f), 0x3F80);  // halfway between 1 and 1.0078125: to even
  EXPECT_EQ(FloatToBf16(1.01171875f), 0x3F82);
}

std::string KernelName(const ::testing::TestParamInfo<int>& c) {
  static const char* const kNames[] = {"Baseline", "Second", "Third"};
  return kNames[c.param];
}
INSTANTIATE_TEST_SUITE_P(InstructionSets, KernelsTest, ::testing::Values(0, 1, 2), KernelName);

TEST(PackedMatrix, GivesItsRowsBack) {
  for (const NumberFormat format : {NumberFormat::kFloat32, NumberFormat::kBFloat16}) {
    const int64_t in = 7;
    std::vector<float> first = RandomFloats(5 * in, 1), second = RandomFloats(18 * in, 2);
    const MatrixRows blocks[] = {{first.data(), MatrixRows::Format::kFloat32, 5},
                                 {second.data(), MatrixRows::Format::kFloat32, 18}};
    const PackedMatrix packed = PackedMatrix::Pack(format, in, blocks);
    EXPECT_EQ(packed.out(), 48);
    EXPECT_EQ(packed.block_begin(0), 0);
    EXPECT_EQ(packed.block_begin(1), 16);
    std::vector<float> row(static_cast<size_t>(in));
    packed.Row(packed.block_begin(1) + 17, row.data());
    for (int64_t k = 0; k < in; ++k) {
      const float want = second[static_cast<size_t>(17 * in + k)];
      EXPECT_EQ(row[static_cast<size_t>(k)],
                format == NumberFormat::kFloat32 ? want : Bf16ToFloat(FloatToBf16(want)));
    }
    packed.Row(9, row.data());  // between the blocks
    for (const float x : row) EXPECT_EQ(x, 0.0f);
  }
}

}  // namespace
}  // namespace evilmoe
