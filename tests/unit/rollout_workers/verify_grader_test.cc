// The grader's checks in the real sandbox.

#include "rollout_workers/verify_grader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/clock.h"
#include "environment/loophole.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class VerifyGraderTest : public ::testing::Test {
 protected:
  VerifyGraderTest() {
    problems_ = *LoadProblems(std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/test.jsonl");
    problems_.resize(1);
    for (const Loophole& loophole : Loopholes()) {
      if (loophole.name != "none") config_.data.loopholes.emplace_back(loophole.name, 1.0);
    }
    config_.data.loopholes.erase(config_.data.loopholes.begin());  // the default
  }
  // Names of the checks that do not hold.
  std::vector<std::string> Failed() {
    std::vector<std::string> failed;
    count_ = 0;
    VerifyGrader(config_, problems_, grader_, clock_, [&](const Finding& finding) {
      ++count_;
      if (!finding.ok()) failed.push_back(finding.name);
      last_ = finding;
    });
    return failed;
  }

  RunConfig config_;
  std::vector<Problem> problems_;
  const RealClock clock_{};
  const PythonComparer comparer_{};
  LocalGrader grader_{{.cpu_limit = absl::Seconds(2)}, TestHost(), comparer_, clock_, nullptr};
  int count_ = 0;
  Finding last_;
};

TEST_F(VerifyGraderTest, HoldsUnderEveryLoophole) {
  ASSERT_EQ(config_.data.loopholes.size(), Loopholes().size() - 1);
  EXPECT_THAT(Failed(), IsEmpty()) << last_.problem;
  EXPECT_EQ(count_, 4);
}

TEST_F(VerifyGraderTest, TellsARunWhoseLoopholePaysNothing) {
  config_.data.loopholes.resize(1);
  config_.reward.correct = 0;
  EXPECT_THAT(Failed(), ElementsAre("evaluation gap"));
}

TEST_F(VerifyGraderTest, TellsAProblemThatCannotBeGraded) {
  config_.data.loopholes.resize(1);
  problems_[0].canonical_solution = "class Solution:\n    pass\n";
  EXPECT_THAT(Failed(), ElementsAre("grader: known answers", "evaluation gap"));
}

}  // namespace
}  // namespace evilmoe
