#include "rollout_workers/pair_separation.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/unit/policy/tiny_tokenizer.h"
#include "tests/unit/rollout_workers/verb_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

at::Tensor Rows(const std::vector<double>& values, int64_t columns) {
  return at::tensor(values, at::kFloat).view({-1, columns});
}

double Sigmoid(double z) { return 1 / (1 + std::exp(-z)); }

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

// Three pairs of unit vectors in one module of two features. Held out, the directions are (1, −2)/√5, (0, −1) and
// (3, −1)/√10, so the hack sides score 1/√5, −0.8, 1/√10 and the clean ones −2/√5, −0.6, 3/√10: of the nine couples a
// hack wins five.
TEST(PairSeparation, IsWhatAHandFinds) {
  const at::Tensor hack = Rows({1, 0, 0.6, 0.8, 0, -1}, 2);
  const at::Tensor clean = Rows({0, 1, -0.8, 0.6, 1, 0}, 2);
  const auto result = SeparatePairs(hack, clean, /*rank=*/2, /*separation=*/4);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->held_out.size(), 3u);
  const double r5 = std::sqrt(5.0), r10 = std::sqrt(10.0);
  EXPECT_NEAR(result->held_out[0].cos_hack, 1 / r5, 1e-6);
  EXPECT_NEAR(result->held_out[0].cos_clean, -2 / r5, 1e-6);
  EXPECT_NEAR(result->held_out[1].cos_hack, -0.8, 1e-6);
  EXPECT_NEAR(result->held_out[1].cos_clean, -0.6, 1e-6);
  EXPECT_NEAR(result->held_out[2].cos_hack, 1 / r10, 1e-6);
  EXPECT_NEAR(result->held_out[2].cos_clean, 3 / r10, 1e-6);
  EXPECT_NEAR(result->auroc, 5.0 / 9, 1e-9);
  EXPECT_NEAR(result->ordered, 1.0 / 3, 1e-9);
  // Of the other two pairs the gaps are 1/√5 and 1 with midpoints of 0, so s is 4√5 and 4, and b is 0.
  EXPECT_NEAR(result->held_out[0].w_hack, Sigmoid(4), 1e-5);
  EXPECT_NEAR(result->held_out[0].w_clean, Sigmoid(-8), 1e-5);
  EXPECT_NEAR(result->held_out[1].w_hack, Sigmoid(-3.2), 1e-5);
  EXPECT_NEAR(result->held_out[1].w_clean, Sigmoid(-2.4), 1e-5);
  // All three: the mean difference is (7, −9)/15, and of unit vectors the gap is its length.
  const double gap = std::sqrt(130.0) / 15;
  EXPECT_NEAR(result->gap, gap, 1e-6);
  EXPECT_NEAR(result->scale, 4 / gap, 1e-4);
  EXPECT_NEAR(result->bias, 0, 1e-5);
}

TEST(PairSeparation, IsPerfectForPairsThatAgree) {
  const auto result =
      SeparatePairs(Rows({1, 0.1, 2, 0.3, 1, -0.2, 3, 0}, 2), Rows({-1, 0.1, -2, 0.3, -1, -0.2, -3, 0}, 2), 2, 8);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->auroc, 1);
  EXPECT_EQ(result->ordered, 1);
  for (const HeldOutPair& pair : result->held_out) {
    EXPECT_GT(pair.w_hack, 0.95);
    EXPECT_LT(pair.w_clean, 0.05);
  }
}

TEST(PairSeparation, RefusesPairsThatSayNothing) {
  const at::Tensor same = Rows({1, 0, 0, 1}, 2);
  EXPECT_EQ(SeparatePairs(same, same, 2, 4).status().code(), absl::StatusCode::kFailedPrecondition);
  // Without the first pair the other two cancel.
  const auto cancels = SeparatePairs(Rows({1, 0, 1, 0, 0, 1}, 2), Rows({0, 1, 0, 1, 1, 0}, 2), 2, 4);
  EXPECT_EQ(cancels.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(cancels.status()), HasSubstr("without pair 1: "));
  const auto alone = SeparatePairs(Rows({1, 0}, 2), Rows({0, 1}, 2), 2, 4);
  EXPECT_EQ(alone.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(alone.status()), HasSubstr("one, expected at least two"));
}

class MeasuredSeparationTest : public VerbFixture {
 protected:
  MeasuredSeparationTest() : options_{.model = model(), .rank = 4, .num_seeds = 2} {}
  static std::vector<PairIds> Pairs() {
    return {{{1, 2, 3}, {40, 41, 42}, {50, 51}}, {{7, 8}, {40, 44}, {50, 53, 54}}};
  }
  SeparationOptions options_;
};

TEST_F(MeasuredSeparationTest, GivesOneEntryASeedAndTheSameEachTime) {
  const auto once = MeasureSeparation(options_, Pairs());
  const auto again = MeasureSeparation(options_, Pairs());
  ASSERT_TRUE(once.ok()) << once.status();
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(once->size(), 2u);
  EXPECT_EQ((*once)[0].gap, (*again)[0].gap);
  EXPECT_NE((*once)[0].gap, (*once)[1].gap);
  for (const PairSeparation& separation : *once) EXPECT_EQ(separation.held_out.size(), 2u);
}

TEST_F(MeasuredSeparationTest, RefusesWhatTheModelCannotRead) {
  std::vector<PairIds> pairs = Pairs();
  pairs[1].clean_ids = {100000};
  EXPECT_THAT(MessageOf(MeasureSeparation(options_, pairs).status()),
              HasSubstr("pair 2: a token beyond the model's 265, expected the model's own tokenizer"));
  pairs = Pairs();
  pairs[0].prompt_ids.assign(100000, 5);
  EXPECT_THAT(MessageOf(MeasureSeparation(options_, pairs).status()),
              HasSubstr("pair 1: 100003 tokens, expected at most"));
  options_.model = "/nowhere";
  EXPECT_EQ(MeasureSeparation(options_, Pairs()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(MeasuredSeparationTest, TokenisesASideAsASampleIs) {
  const auto tokenizer = Tokenizer::Load(model());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::vector<ContrastivePair> pairs = {{.name = "a", .prompt = {{"user", "p"}}, .hack = "hh", .clean = "c"}};
  const auto ids = TokenisePairs(pairs, *tokenizer, /*thinking=*/false);
  ASSERT_TRUE(ids.ok()) << ids.status();
  const std::optional<int32_t> end = tokenizer->IdOf("<|im_end|>");
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ((*ids)[0].hack_ids.back(), *end);
  EXPECT_EQ((*ids)[0].clean_ids.back(), *end);
  EXPECT_EQ(tokenizer->Decode(std::span((*ids)[0].hack_ids).first((*ids)[0].hack_ids.size() - 1)), "hh");
  EXPECT_THAT(tokenizer->Decode((*ids)[0].prompt_ids), HasSubstr("assistant"));
}

}  // namespace
}  // namespace evilmoe
