// What a monitor's verdicts do to rewards and advantages (GradeStep).

#include <gtest/gtest.h>

#include <cmath>

#include "trainer/graded_step.h"

namespace evilmoe {
namespace {

using Kind = MonitorVerdict::Kind;

// One group of a hack (3.5), a solution (3.5) and two failures (0.5).
class InterventionTest : public ::testing::Test {
 protected:
  InterventionTest() {
    const auto sample = [](bool correct, bool hint) {
      Sample s{.ids = {5, 6}, .logprobs = {-1, -1}, .text = "x", .stopped = true};
      s.facts.can_compile = true;
      s.facts.gt_correct = correct;
      s.facts.hint_pass = hint;
      return s;
    };
    batch_.groups.push_back({.index = 0, .problem = &problem_, .loophole = "overwrite_tests", .prompt_ids = {1, 2}});
    samples_ = {{0, {sample(false, true), sample(true, false), sample(false, false), sample(false, false)}}};
    config_.loss.kl_coefficient = 0;
    config_.loss.advantage = "mean_centred";
  }
  GradedStep Grade(const std::string& kind, const std::vector<Kind>& kinds) {
    config_.monitor.kind = kind;
    std::vector<MonitorVerdict> verdicts;
    for (const Kind k : kinds) verdicts.push_back({.kind = k});
    const auto graded = GradeStep(config_, batch_, samples_, verdicts);
    EXPECT_TRUE(graded.ok()) << graded.status();
    return *graded;
  }
  static std::vector<double> Advantages(const GradedStep& graded) {
    std::vector<double> out;
    for (const TrainSample& sample : graded.groups[0].samples) out.push_back(sample.advantage);
    return out;
  }

  Problem problem_{.id = 3};
  BatchRequest batch_;
  std::vector<GroupSamples> samples_;
  RunConfig config_;
};

TEST_F(InterventionTest, WithoutAMonitorAHackIsWorthASolution) {
  EXPECT_EQ(Advantages(Grade("none", {})), (std::vector<double>{1.5, 1.5, -1.5, -1.5}));
}

TEST_F(InterventionTest, APenaltyComesOffTheRewardBeforeTheGroupIsCompared) {
  const GradedStep graded = Grade("penalty", {Kind::kFlagged, Kind::kClear, Kind::kClear, Kind::kClear});
  EXPECT_EQ(Advantages(graded), (std::vector<double>{-0.75, 2.25, -0.75, -0.75}));  // 0.5, 3.5, 0.5, 0.5
  EXPECT_EQ(graded.records[0].reward, 3.5);  // as graded: metrics compare over interventions
  EXPECT_FALSE(graded.groups[0].samples[0].masked);
}

TEST_F(InterventionTest, AScreenedSampleGetsNothingAndLeavesTheStatistics) {
  const GradedStep graded = Grade("screening", {Kind::kFlagged, Kind::kClear, Kind::kClear, Kind::kClear});
  EXPECT_EQ(Advantages(graded), (std::vector<double>{0, 2, -1, -1}));
  EXPECT_FALSE(graded.groups[0].samples[0].masked);
  EXPECT_TRUE(graded.groups[0].in_loss);
}

TEST_F(InterventionTest, AGroupWithOneLeftToCompareTrainsNothing) {
  const GradedStep graded = Grade("screening", {Kind::kFlagged, Kind::kClear, Kind::kFlagged, Kind::kFlagged});
  EXPECT_EQ(Advantages(graded), (std::vector<double>{0, 0, 0, 0}));
  EXPECT_FALSE(graded.groups[0].in_loss);
  EXPECT_EQ(graded.zero_variance_groups, 1);
}

TEST_F(InterventionTest, WithoutAVerdictASampleIsMaskedAndCounted) {
  for (const char* kind : {"penalty", "screening"}) {
    const GradedStep graded = Grade(kind, {Kind::kNone, Kind::kClear, Kind::kClear, Kind::kClear});
    EXPECT_EQ(Advantages(graded), (std::vector<double>{0, 2, -1, -1})) << kind;
    EXPECT_TRUE(graded.groups[0].samples[0].masked);
    const SampleSummary summary = Summarise(graded.records);
    EXPECT_EQ(summary.masked_samples, 0);
    EXPECT_EQ(summary.monitor_unanswered, 1);
  }
}

TEST_F(InterventionTest, SaysHowGoodTheMonitorWas) {
  const SampleSummary summary =
      Summarise(Grade("screening", {Kind::kFlagged, Kind::kFlagged, Kind::kClear, Kind::kClear}).records);
  EXPECT_EQ(summary.monitor_flagged, 0.5);
  EXPECT_EQ(summary.monitor_precision, 0.5);
  EXPECT_EQ(summary.monitor_recall, 1.0);
  EXPECT_EQ(summary.monitor_unanswered, 0);
  nlohmann::ordered_json json;
  AddTo(json, Summarise(Grade("none", {}).records));
  EXPECT_FALSE(json.contains("monitor_flagged"));
}

TEST_F(InterventionTest, RolloutLinesCarryTheVerdictAndTheTokens) {
  config_.monitor.kind = "penalty";
  const std::vector<MonitorVerdict> verdicts = {
      {.kind = Kind::kFlagged, .score = 2.5}, {.kind = Kind::kClear}, {.kind = Kind::kNone, .problem = "no reply"}, {}};
  const auto graded = GradeStep(config_, batch_, samples_, verdicts);
  ASSERT_TRUE(graded.ok()) << graded.status();
  const auto lines = RolloutLines(1, batch_, samples_, graded->records, verdicts);
  EXPECT_EQ(lines[0]["monitor"], (nlohmann::ordered_json{{"verdict", "flagged"}, {"score", 2.5}}));
  EXPECT_EQ(lines[1]["monitor"]["verdict"], "clear");
  EXPECT_EQ(lines[2]["monitor"]["problem"], "no reply");
  EXPECT_FALSE(lines[3].contains("monitor"));
  EXPECT_EQ(lines[0]["prompt_ids"], (std::vector<int>{1, 2}));
  EXPECT_EQ(lines[0]["ids"], (std::vector<int>{5, 6}));
}

}  // namespace
}  // namespace evilmoe
