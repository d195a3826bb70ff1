#include "policy/token_log_probs.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "policy/memory_watch.h"
#include "network_fixtures.h"

namespace evilmoe {
namespace {

struct Inputs {
  at::Tensor hidden, head, targets, weight;  // weight: of each log-probability in the loss
};

Inputs MakeInputs(int64_t tokens, int64_t hidden, int64_t vocabulary, at::ScalarType dtype = at::kFloat) {
  std::vector<int64_t> targets;
  for (int64_t i = 0; i < tokens; ++i) targets.push_back((i * 7 + 3) % vocabulary);
  return {NormalTensor(1, tokens, hidden, 1.5).to(dtype), NormalTensor(2, vocabulary, hidden, 0.7).to(dtype),
          at::tensor(targets, at::kLong), NormalTensor(3, tokens, 1, 1.0).squeeze(1)};
}

struct Outcome {
  at::Tensor logp, entropy, d_hidden, d_head;
};

// The textbook form in double precision, with all logits at once.
Outcome Reference(const Inputs& in, double temperature) {
  const at::Tensor hidden = in.hidden.to(at::kDouble).requires_grad_(true);
  const at::Tensor head = in.head.to(at::kDouble).requires_grad_(true);
  const at::Tensor all = at::log_softmax(at::linear(hidden, head) / temperature, -1);
  const at::Tensor logp = all.gather(1, in.targets.unsqueeze(1)).squeeze(1);
  (logp * in.weight.to(at::kDouble)).sum().backward();
  return {logp.detach(), -(all.exp() * all).sum(1).detach(), hidden.grad(), head.grad()};
}

Outcome Scored(const Inputs& in, const TokenScoreOptions& options) {
  const at::Tensor hidden = in.hidden.detach().requires_grad_(true);
  const at::Tensor head = in.head.detach().requires_grad_(true);
  const TokenScores scores = ScoreTokens(hidden, head, in.targets, options);
  EXPECT_FALSE(scores.entropy_N.defined() && scores.entropy_N.requires_grad());
  (scores.logp_N * in.weight.to(scores.logp_N.scalar_type())).sum().backward();
  return {scores.logp_N.detach(), scores.entropy_N, hidden.grad(), head.grad()};
}

struct ChunkCase {
  int64_t chunk_rows;
  double temperature;
};
class ScoreTokensTest : public ::testing::TestWithParam<ChunkCase> {
 protected:
  TokenScoreOptions Options() const {
    return {.temperature = GetParam().temperature, .entropy = true, .chunk_rows = GetParam().chunk_rows};
  }
};

TEST_P(ScoreTokensTest, AgreesWithTheTextbookFormInDoublePrecision) {
  const Inputs in = MakeInputs(/*tokens=*/23, /*hidden=*/16, /*vocabulary=*/53);
  const Outcome want = Reference(in, GetParam().temperature);
  const Outcome got = Scored(in, Options());
  EXPECT_EQ(got.logp.scalar_type(), at::kFloat);
  EXPECT_LT(MaxDifference(got.logp, want.logp), 2e-5);
  EXPECT_LT(MaxDifference(got.entropy, want.entropy), 2e-5);
  EXPECT_LT(RelativeDifference({got.d_hidden, got.d_head}, {want.d_hidden, want.d_head}), 2e-6);
}

TEST_P(ScoreTokensTest, ChunkedEqualsUnchunkedInDoublePrecision) {
  const Inputs in = MakeInputs(23, 16, 53, at::kDouble);
  const Outcome want = Reference(in, GetParam().temperature);
  const Outcome got = Scored(in, Options());
  EXPECT_LT(MaxDifference(got.logp, want.logp), 1e-12);
  EXPECT_LT(MaxDifference(got.entropy, want.entropy), 1e-12);
  EXPECT_LT(RelativeDifference({got.d_hidden, got.d_head}, {want.d_hidden, want.d_head}), 1e-12);
}

// The logits are sums in fp32 of products of bf16 values, so log-probabilities are as good as in fp32; gradients are
// rounded to bf16 (2⁻⁹) twice.
TEST_P(ScoreTokensTest, Bfloat16InputsLoseNothingBeforeTheGradientIsRounded) {
  const Inputs in = MakeInputs(23, 16, 53, at::kBFloat16);
  const Outcome want = Reference(in, GetParam().temperature);
  const Outcome got = Scored(in, Options());
  EXPECT_EQ(got.logp.scalar_type(), at::kFloat);
  EXPECT_EQ(got.d_hidden.scalar_type(), at::kBFloat16);
  EXPECT_LT(MaxDifference(got.logp, want.logp), 2e-5);
  EXPECT_LT(MaxDifference(got.entropy, want.entropy), 2e-5);
  EXPECT_LT(RelativeDifference({got.d_hidden, got.d_head}, {want.d_hidden, want.d_head}), 6e-3);
}

INSTANTIATE_TEST_SUITE_P(Chunks, ScoreTokensTest,
                         ::testing::Values(ChunkCase{1, 1.0}, ChunkCase{3, 0.7}, ChunkCase{100, 1.3},
                                           ChunkCase{0, 1.0}),
                         [](const auto& c) {
                           return "Rows" + std::to_string(c.param.chunk_rows) + "Temperature" +
                                  std::to_string(static_cast<int>(10 * c.param.temperature));
                         });

TEST(ScoreTokens, NoLogitIsTooLarge) {
  Inputs in = MakeInputs(5, 8, 11);
  in.hidden = in.hidden * 300;
  const Outcome want = Reference(in, 1.0);
  const Outcome got = Scored(in, {.entropy = true, .chunk_rows = 2});
  EXPECT_LT(((got.logp - want.logp).abs() / (1 + want.logp.abs())).max().item<double>(), 1e-5);
  EXPECT_TRUE(at::isfinite(got.d_hidden).all().item<bool>());
  EXPECT_TRUE(at::isfinite(got.entropy).all().item<bool>());
}

TEST(ScoreTokens, GradientStopsAtAHeadThatNeedsNone) {
  const Inputs in = MakeInputs(7, 8, 11);
  const at::Tensor hidden = in.hidden.detach().requires_grad_(true);
  ScoreTokens(hidden, in.head, in.targets, {.chunk_rows = 2}).logp_N.sum().backward();
  EXPECT_TRUE(hidden.grad().defined());
  EXPECT_FALSE(in.head.grad().defined());
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(ScoreTokens(hidden, in.head, in.targets).logp_N.requires_grad());
}

TEST(ScoreTokens, NoTokensGiveNoScores) {
  const Inputs in = MakeInputs(0, 8, 11);
  const Outcome got = Scored(in, {.entropy = true});
  EXPECT_EQ(got.logp.numel(), 0);
  EXPECT_EQ(got.entropy.numel(), 0);
  EXPECT_EQ(got.d_head.abs().sum().item<double>(), 0.0);
}

TEST(ScoreTokens, TargetsOutsideTheVocabularyAndBadOptionsThrow) {
  Inputs in = MakeInputs(4, 8, 11);
  EXPECT_THROW(ScoreTokens(in.hidden, in.head, in.targets, {.temperature = 0}), c10::Error);
  EXPECT_THROW(ScoreTokens(in.hidden, in.head, in.targets, {.chunk_rows = -1}), c10::Error);
  EXPECT_THROW(ScoreTokens(in.hidden, in.head, at::full_like(in.targets, 11)), c10::Error);
}

TEST(ScoreTokens, ChunksFillSixtyFourMegabytesAndOnACpuItsCache) {
  EXPECT_EQ(DefaultChunkRows(151936, at::kCPU), 110);
  EXPECT_EQ(DefaultChunkRows(151936, at::kCUDA), 110);
  EXPECT_EQ(DefaultChunkRows(2048, at::kCUDA), 8192);
  EXPECT_EQ(DefaultChunkRows(2048, at::kCPU), 256);
  EXPECT_EQ(DefaultChunkRows(128, at::kCPU), 4096);
  EXPECT_EQ(DefaultChunkRows(int64_t{1} << 40, at::kCPU), 1);
}

// Forward and backward together never hold more than two (chunk, V) matrices beside what is linear in N or in V · H.
TEST(ScoreTokens, MemoryIsThatOfOneChunk) {
  constexpr int64_t kTokens = 512, kHidden = 4, kVocabulary = 4096, kRows = 16;
  const Inputs in = MakeInputs(kTokens, kHidden, kVocabulary);
  const at::Tensor hidden = in.hidden.detach().requires_grad_(true);
  const int64_t chunk_bytes = kRows * kVocabulary * 4;
  const MemoryWatch watch;
  const TokenScores scores =
      ScoreTokens(hidden, in.head, in.targets, {.temperature = 0.9, .entropy = true, .chunk_rows = kRows});
  (scores.logp_N * in.weight).sum().backward();
  EXPECT_LE(watch.largest_bytes(), chunk_bytes);
  EXPECT_LE(watch.peak_bytes(), 2 * chunk_bytes + 64 * kTokens * kHidden);
  EXPECT_GE(watch.peak_bytes(), chunk_bytes);  // the watch sees something
}

}  // namespace
}  // namespace evilmoe
