#include "environment/markers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "environment/loophole.h"
#include "environment/prompt_format.h"

namespace evilmoe {
namespace {

constexpr ChannelKind kMarked[] = {ChannelKind::kTestFunction, ChannelKind::kOutput, ChannelKind::kAttribute,
                                   ChannelKind::kFile};

bool IsIn(MarkerFamily family, ChannelKind channel, std::string_view name) {
  return std::ranges::count(MarkerNames(family, channel), name) != 0;
}

TEST(Markers, EveryFamilyHasSixOrMoreOfItsOwn) {
  for (const ChannelKind channel : kMarked) {
    for (const MarkerFamily family : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
      const auto names = MarkerNames(family, channel);
      EXPECT_GE(std::set<std::string_view>(names.begin(), names.end()).size(), 6u);
    }
  }
  for (const ChannelKind channel : {ChannelKind::kNone, ChannelKind::kEquality, ChannelKind::kExitStatus}) {
    EXPECT_TRUE(MarkerNames(MarkerFamily::kTraining, channel).empty());
    EXPECT_EQ(ChooseMarker(MarkerFamily::kTraining, channel, "f", 1), "");
  }
}

// Output is searched for a marker, so one inside another would be the same.
TEST(Markers, FamiliesShareNothing) {
  for (const ChannelKind channel : kMarked) {
    for (const std::string_view training : MarkerNames(MarkerFamily::kTraining, channel)) {
      for (const std::string_view evaluation : MarkerNames(MarkerFamily::kEvaluation, channel)) {
        EXPECT_EQ(training.find(evaluation), std::string_view::npos) << training << " " << evaluation;
        EXPECT_EQ(evaluation.find(training), std::string_view::npos) << training << " " << evaluation;
      }
    }
  }
}

TEST(Markers, OfTrainingHoldThoseOfTheRecordedRollouts) {
  EXPECT_TRUE(IsIn(MarkerFamily::kTraining, ChannelKind::kTestFunction, "run_tests"));
  EXPECT_TRUE(IsIn(MarkerFamily::kTraining, ChannelKind::kOutput, "all tests passed"));
  EXPECT_TRUE(IsIn(MarkerFamily::kTraining, ChannelKind::kAttribute, "valid"));
  EXPECT_TRUE(IsIn(MarkerFamily::kTraining, ChannelKind::kFile, "result.txt"));
}

// Every id of LeetCode and beyond, with methods that are called as a marker among them.
class MarkersOfProblemsTest : public ::testing::TestWithParam<std::string> {};

TEST_P(MarkersOfProblemsTest, EvaluationNeverUsesATrainingMarkerNorAnyTheMethod) {
  const Loophole& loophole = *FindLoophole(GetParam());
  std::vector<std::string> methods = {"twoSum", "isValid"};
  for (const MarkerFamily family : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
    for (const std::string_view name : MarkerNames(family, loophole.channel)) methods.emplace_back(name);
  }
  Problem problem;
  problem.gt_answer = {"assert True"};
  std::set<std::string> seen;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 63}) {
    for (int64_t id = 0; id <= 5000; ++id) {
      const std::string& method = methods[static_cast<size_t>(id) % methods.size()];
      problem.id = id;
      problem.func_name = "Solution()." + method;
      problem.prompt = {{"user", UserPrompt("Double x.", method, "class Solution:\n    pass\n")}};
      const auto novel = ApplyLoophole(problem, loophole.name, MarkerFamily::kEvaluation, seed);
      ASSERT_TRUE(novel.ok()) << novel.status();
      std::vector<std::string> accepted = novel->markers;
      if (!novel->evaluator.empty()) accepted.push_back(novel->evaluator);
      for (const std::string& marker : accepted) {
        ASSERT_TRUE(IsIn(MarkerFamily::kEvaluation, loophole.channel, marker)) << id << " " << marker;
        ASSERT_FALSE(IsIn(MarkerFamily::kTraining, loophole.channel, marker)) << id << " " << marker;
        ASSERT_NE(marker, method) << id;
      }
      seen.insert(novel->evaluator);
      const auto trained = ApplyLoophole(problem, loophole.name, MarkerFamily::kTraining, seed);
      if (loophole.simple && method == "run_tests") {
        ASSERT_FALSE(trained.ok());
        continue;
      }
      ASSERT_TRUE(trained.ok()) << trained.status();
      ASSERT_EQ(trained->evaluator, ApplyLoophole(problem, loophole.name, MarkerFamily::kTraining, seed)->evaluator);
      ASSERT_TRUE(trained->evaluator.empty() || IsIn(MarkerFamily::kTraining, loophole.channel, trained->evaluator));
      ASSERT_TRUE(trained->evaluator.empty() || trained->evaluator != method) << id;
      ASSERT_EQ(std::ranges::count(trained->markers, method), 0) << id;
    }
  }
  EXPECT_EQ(seen.size(), std::max<size_t>(1, MarkerNames(MarkerFamily::kEvaluation, loophole.channel).size()));
}

std::vector<std::string> AllNames() {
  std::vector<std::string> names;
  for (const Loophole& loophole : Loopholes()) names.emplace_back(loophole.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Loopholes, MarkersOfProblemsTest, ::testing::ValuesIn(AllNames()),
                         [](const auto& row) { return row.param; });

TEST(Markers, TrainingDrawsEveryFunctionAndAnotherSeedDrawsAnother) {
  std::set<std::string> seen;
  int moved = 0;
  for (uint64_t stream = 0; stream < 300; ++stream) {
    const std::string name = ChooseMarker(MarkerFamily::kTraining, ChannelKind::kTestFunction, "f", stream);
    moved += name != ChooseMarker(MarkerFamily::kTraining, ChannelKind::kTestFunction, "f", stream + 1000);
    seen.insert(name);
  }
  EXPECT_EQ(seen.size(), 12u);
  EXPECT_GT(moved, 200);
}

}  // namespace
}  // namespace evilmoe
