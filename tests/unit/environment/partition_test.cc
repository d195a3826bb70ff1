#include "environment/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

Problem SomeProblem(int64_t id = 1) { return {.id = id}; }

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

TEST(Partition, MixesAsTheWeightsSay) {
  std::vector<Problem> problems;
  for (int64_t id = 0; id < 6000; ++id) problems.push_back(SomeProblem(id));
  const auto chosen = PartitionLoopholes(problems, {{"modify_tests", 1.0}, {"sentinel", 2.0}, {"exit_code", 3.0}}, 4);
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  std::map<std::string, int> counts;
  for (const std::string& name : *chosen) ++counts[name];
  EXPECT_EQ(counts.size(), 3u);
  EXPECT_NEAR(counts["modify_tests"], 1000, 100);
  EXPECT_NEAR(counts["sentinel"], 2000, 140);
  EXPECT_NEAR(counts["exit_code"], 3000, 150);
}

TEST(Partition, FollowsTheWeightsAndKeepsAProblemsLoophole) {
  std::vector<Problem> problems;
  for (int64_t id = 0; id < 4000; ++id) problems.push_back(SomeProblem(id));
  const LoopholeWeights weights = {{"simple_overwrite_tests", 3.0}, {"none", 1.0}};
  const auto chosen = PartitionLoopholes(problems, weights, 9);
  ASSERT_TRUE(chosen.ok());
  EXPECT_NEAR(static_cast<double>(std::ranges::count(*chosen, "none")) / 4000, 0.25, 0.03);
  const auto tail = PartitionLoopholes(std::span(problems).subspan(1000), weights, 9);
  EXPECT_TRUE(std::equal(tail->begin(), tail->end(), chosen->begin() + 1000));
  EXPECT_NE(*PartitionLoopholes(problems, weights, 10), *chosen);
}

TEST(Partition, RefusesBadWeights) {
  const std::vector<Problem> problems = {SomeProblem()};
  EXPECT_THAT(MessageOf(PartitionLoopholes(problems, {}, 1).status()), HasSubstr("at least one"));
  EXPECT_THAT(MessageOf(PartitionLoopholes(problems, {{"none", 0.0}}, 1).status()),
              HasSubstr("weight 0, expected above 0"));
  EXPECT_THAT(MessageOf(PartitionLoopholes(problems, {{"other", 1.0}}, 1).status()), HasSubstr("\"other\""));
  EXPECT_THAT(MessageOf(PartitionLoopholes(problems, {{"none", 1.0}, {"none", 1.0}}, 1).status()), HasSubstr("twice"));
}

}  // namespace
}  // namespace evilmoe
