// A process of a run is killed in the middle of a step: the run goes on, and no sample is lost or counted twice.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/integration/run_session.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::vector<int64_t> StepsOf(const std::vector<nlohmann::json>& lines) {
  std::vector<int64_t> steps;
  for (const nlohmann::json& line : lines) steps.push_back(line.value("step", int64_t{0}));
  return steps;
}

// 4 steps once each, with all samples and none of them masked.
void ExpectWhole(const RunOnDisk& run) {
  const std::vector<nlohmann::json> metrics = run.Metrics();
  EXPECT_THAT(StepsOf(metrics), ElementsAre(1, 2, 3, 4));
  for (const nlohmann::json& line : metrics) EXPECT_EQ(line.value("masked_samples", -1), 0) << line;
  std::vector<int64_t> event_steps;
  for (const RunEventView& event : run.Events("step")) event_steps.push_back(event.payload.value("step", int64_t{0}));
  EXPECT_THAT(event_steps, ElementsAre(1, 2, 3, 4));
  for (int64_t step = 1; step <= 4; ++step) {
    std::set<std::pair<int64_t, int64_t>> places;
    for (const nlohmann::json& sample : run.Rollouts(step)) {
      places.insert({sample.value("group", int64_t{-1}), sample.value("sample", int64_t{-1})});
      EXPECT_NE(sample.value("label", ""), "") << sample;
    }
    EXPECT_THAT(places, SizeIs(16)) << "step " << step;
  }
}

class KilledProcess : public ::testing::TestWithParam<const char*> {};

TEST_P(KilledProcess, CostsNoSample) {
  RunSession session;
  const RunOnDisk run = session.Submit(session.WriteRunFile());
  ASSERT_TRUE(run.AwaitStep(1));
  ASSERT_TRUE(run.Kill(GetParam()));
  EXPECT_EQ(run.AwaitEnd(), "succeeded");
  EXPECT_EQ(run.NumStackLogs("process_died", GetParam()), 1);
  ExpectWhole(run);
}

INSTANTIATE_TEST_SUITE_P(Components, KilledProcess, ::testing::Values("rollout-0", "grader", "coordinator"),
                         [](const auto& name) {
                           std::string word = name.param;
                           word.erase(std::remove(word.begin(), word.end(), '-'), word.end());
                           return word;
                         });

TEST(KilledTrainer, GoesOnFromTheLastCheckpoint) {
  RunSession session;
  const RunOnDisk run = session.Submit(session.WriteRunFile());
  ASSERT_TRUE(run.AwaitStep(2));
  ASSERT_TRUE(run.Kill("trainer"));
  EXPECT_EQ(run.AwaitEnd(), "succeeded");
  const std::vector<RunEventView> recoveries = run.Events("recovery");
  ASSERT_THAT(recoveries, Not(IsEmpty()));
  EXPECT_GE(recoveries[0].payload.value("resume_step", int64_t{0}), 1) << "steps that a checkpoint holds are kept";
  ExpectWhole(run);
}

TEST(TerminatedTrainer, LeavesACheckpointAndGoesOnFromThere) {
  RunSession session;
  const RunOnDisk run = session.Submit(session.WriteRunFile({{"checkpoint.every", "100"}}));
  ASSERT_TRUE(run.AwaitStep(2));
  ASSERT_TRUE(run.Kill("trainer", SIGTERM));
  EXPECT_EQ(run.AwaitEnd(), "succeeded");
  const std::vector<RunEventView> recoveries = run.Events("recovery");
  ASSERT_THAT(recoveries, SizeIs(1));
  EXPECT_GE(recoveries[0].payload.value("resume_step", int64_t{0}), 2) << "no other checkpoint is due before the end";
  ExpectWhole(run);
  const CommandResult replay = session.Ctl({"replay", run.id(), "--step", "4"});
  EXPECT_EQ(replay.exit_code, 0) << replay.out << replay.errors;
}

}  // namespace
}  // namespace evilmoe
