#include "trainer/advantages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include <limits>
#include <utility>

#include "trainer/overlong_penalty.h"

namespace evilmoe {
namespace {

using ::testing::DoubleNear;
using ::testing::Pointwise;

struct AdvantageCase {
  const char* name;
  std::vector<std::optional<double>> rewards;
  AdvantageKind kind;
  std::vector<double> want;
  std::vector<bool> want_masked;
  bool want_zero_variance;
  std::vector<bool> screened = {};
};
class AdvantagesTest : public ::testing::TestWithParam<AdvantageCase> {};

TEST_P(AdvantagesTest, Compute) {
  const auto got = ComputeAdvantages(GetParam().rewards, GetParam().kind, GetParam().screened);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(got->values, Pointwise(DoubleNear(1e-4), GetParam().want));
  EXPECT_EQ(got->masked, GetParam().want_masked);
  EXPECT_EQ(got->zero_variance, GetParam().want_zero_variance);
}

constexpr auto kNormalised = AdvantageKind::kGroupNormalised;
INSTANTIATE_TEST_SUITE_P(
    Cases, AdvantagesTest,
    ::testing::ValuesIn(std::vector<AdvantageCase>{
        // torch: (r − r.mean()) / (r.std() + 1e-4) with r = [3.5, 0.5, 0.5, 0.5]: std 1.5
        {"Normalised",
         {3.5, 0.5, 0.5, 0.5},
         kNormalised,
         {1.4999, -0.49997, -0.49997, -0.49997},
         {false, false, false, false},
         false},
        {"Centred", {3.5, 0.5}, AdvantageKind::kMeanCentred, {1.5, -1.5}, {false, false}, false},
        // 3.5 − 0.5, 0.5 − mean(3.5, 0.5)
        {"LeaveOneOut",
         {3.5, std::nullopt, 0.5, 0.5},
         AdvantageKind::kLeaveOneOut,
         {3, 0, -1.5, -1.5},
         {false, true, false, false},
         false},
        {"LeaveOneOutKnowsTheScreened",
         {3.5, 9, 0.5},
         AdvantageKind::kLeaveOneOut,
         {3, 0, -3},
         {false, false, false},
         false,
         {false, true, false}},
        {"EqualRewardsGiveZeros", {0.5, 0.5, 0.5}, kNormalised, {0, 0, 0}, {false, false, false}, true},
        {"ALostSampleIsNoZero",
         {3.5, std::nullopt, 0.5},
         kNormalised,
         {0.70707, 0, -0.70707},
         {false, true, false},
         false},
        {"OneLeftMasksTheGroup", {3.5, std::nullopt}, kNormalised, {0, 0}, {true, true}, false},
        {"AScreenedSampleLeavesTheStatistics",
         {3.5, 3.5, 0.5},
         kNormalised,
         {0, 0.70707, -0.70707},
         {false, false, false},
         false,
         {true, false, false}},
        {"OneUnscreenedHasNobodyToCompareWith",
         {3.5, 0.5, 0.5},
         kNormalised,
         {0, 0, 0},
         {false, false, false},
         true,
         {true, false, true}},
        {"AllScreened", {3.5, 0.5}, kNormalised, {0, 0}, {false, false}, true, {true, true}},
        {"ALostOneAndAScreenedOne",
         {std::nullopt, 3.5, 0.5},
         kNormalised,
         {0, 0, 0},
         {true, false, false},
         true,
         {false, true, false}},
        {"NoneLeft", {std::nullopt, std::nullopt}, kNormalised, {0, 0}, {true, true}, false},
    }),
    [](const auto& c) { return c.param.name; });

TEST(SoftOverlongPenaltyTest, FallsFromTheBuffersBeginToTheLimit) {
  const std::vector<std::pair<int64_t, double>> cases = {{0, 0},     {60, 0},   {65, -0.125},
                                                         {80, -0.5}, {100, -1}, {101, -1}};
  for (const auto& [num_tokens, want] : cases) {
    EXPECT_EQ(SoftOverlongPenalty(num_tokens, /*limit=*/100, /*buffer=*/40), want) << num_tokens;
  }
  EXPECT_EQ(SoftOverlongPenalty(99, 100, 1), 0.0);
  EXPECT_EQ(SoftOverlongPenalty(100, 100, 1), -1.0);
}

TEST(AdvantagesTest, RefusesARewardThatIsNotFinite) {
  const auto got = ComputeAdvantages({std::numeric_limits<double>::quiet_NaN(), 1.0}, kNormalised);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(DeployedAdvantagesTest, AreThoseOfTheGroupAsDSeesIt) {
  struct Case {
    std::vector<std::optional<double>> rewards;
    std::vector<double> weights;  // 1 − w
    AdvantageKind kind;
    std::vector<double> want;
  };
  const double sigma = std::sqrt(0.5 * 0.25 + 0.5 * 0.25);
  for (const Case& c : std::vector<Case>{
           // A hack that D does not see leaves the clean ones among themselves.
           {{0.0, 1.0, 3.5}, {1, 1, 0}, AdvantageKind::kMeanCentred, {-0.5, 0.5, 3}},
           {{0.0, 1.0, 3.5},
            {1, 1, 0},
            AdvantageKind::kGroupNormalised,
            {-0.5 / (sigma + 1e-4), 0.5 / (sigma + 1e-4), 4}},
           {{0.0, 1.0, 3.5}, {0.4, 0.4, 0.1}, AdvantageKind::kMeanCentred, {0, 0, 0}},  // too little of a group
           {{1.0, 1.0, 3.5}, {1, 1, 0}, AdvantageKind::kMeanCentred, {0, 0, 0}},        // nothing to compare
           {{0.0, std::nullopt, 1.0}, {1, 1, 1}, AdvantageKind::kMeanCentred, {-0.5, 0, 0.5}},
           {{0.0, 9.0}, {1, 1}, AdvantageKind::kMeanCentred, {-4, 4}},
           {{}, {}, AdvantageKind::kMeanCentred, {}}}) {
    const std::vector<double> got = DeployedAdvantages(c.rewards, c.weights, c.kind);
    ASSERT_EQ(got.size(), c.want.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], c.want[i], 1e-12) << i;
  }
}

}  // namespace
}  // namespace evilmoe
