#include "trainer/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "common/file.h"
#include "tests/unit/trainer_step/training_loop_fixture.h"
#include "trainer/graded_step.h"
#include "trainer/replay_verb.h"
#include "trainer/saved_rollouts.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class ReplayTest : public TrainingLoopTest {
 protected:
  ReplayTest() { config_.data.train = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano/train.jsonl"; }

  absl::StatusOr<Replay> ReplayOf(const std::string& name, int64_t step) {
    auto model = TrainingModel::Load(config_, 1);
    EXPECT_TRUE(model.ok()) << model.status();
    return ReplayStep(config_, directory_ / name, "config", step, **model);
  }
  // Replays one step and expects every figure to be there and equal.
  void ExpectEqual(const std::string& name, int64_t step, int64_t checkpoint) {
    const auto replay = ReplayOf(name, step);
    ASSERT_TRUE(replay.ok()) << replay.status();
    EXPECT_EQ(replay->checkpoint, checkpoint);
    ASSERT_EQ(static_cast<int64_t>(replay->steps.size()), step - checkpoint);
    for (const ReplayedStep& done : replay->steps) {
      EXPECT_EQ(done.figures.size(), 6u);
      for (const ReplayedFigure& figure : done.figures) {
        EXPECT_TRUE(figure.recorded.has_value()) << figure.name;
        EXPECT_EQ(figure.recorded, figure.replayed) << "step " << done.step << " " << figure.name;
      }
    }
  }
  fs::path RolloutsOf(int step) const {
    return directory_ / ("run/rollouts/step-" + std::to_string(step) + ".jsonl.zst");
  }

  FakeRollouts rollouts_;
};

TEST_F(ReplayTest, AStepComesOutBitForBit) {
  Train("run", 4, rollouts_);  // checkpoints after 2 and 4
  ExpectEqual("run", 1, 0);
  ExpectEqual("run", 3, 2);
  ExpectEqual("run", 4, 2);  // by way of 3
}

TEST_F(ReplayTest, SoDoLostAndScreenedSamples) {
  config_.monitor.kind = "screening";
  config_.monitor.accuracy = 0.7;
  config_.loss.kl_coefficient = 1e-2;
  rollouts_.lose_samples_of_step = 1;
  Train("run", 2, rollouts_);
  EXPECT_EQ(progress_.steps[1]["masked_samples"], 4);
  ExpectEqual("run", 2, 0);
}

TEST_F(ReplayTest, ABadStepIsBadAgain) {
  config_.reward.starter_and_tests = 1e39;
  config_.loss.advantage = "mean_centred";
  rollouts_.odd_samples_with_tests = {0};
  Train("run", 2, rollouts_);
  const auto replay = ReplayOf("run", 2);
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_TRUE(replay->steps[0].Equal());
  EXPECT_EQ(replay->steps[0].figures[0].replayed, std::nullopt);
  EXPECT_TRUE(replay->steps[1].Equal());
  EXPECT_NE(replay->steps[1].figures[0].replayed, std::nullopt);
}

TEST_F(ReplayTest, AnotherOutcomeIsSeen) {
  Train("run", 1, rollouts_);
  config_.loss.reduction = "token_mean";
  const auto replay = ReplayOf("run", 1);
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_FALSE(replay->steps[0].Equal());
}

TEST_F(ReplayTest, WhatIsNotThereIsNamed) {
  config_.checkpoint = {.every = 2, .keep = 1};  // after 4 alone
  Train("run", 4, rollouts_);
  config_.steps = 9;
  EXPECT_EQ(ReplayOf("run", 0).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ReplayOf("run", 10).status().code(), Code::kInvalidArgument);
  const auto later = ReplayOf("run", 5);
  EXPECT_EQ(later.status().code(), Code::kNotFound);
  EXPECT_THAT(std::string(later.status().message()), HasSubstr("no such step"));
  fs::remove(RolloutsOf(1));
  const auto gone = ReplayOf("run", 2);  // from the start, through step 1
  EXPECT_EQ(gone.status().code(), Code::kNotFound);
  EXPECT_THAT(std::string(gone.status().message()), HasSubstr(RolloutsOf(1).string()));
}

TEST_F(ReplayTest, RolloutsOfAnEarlierVersionAndBrokenOnesAreRefused) {
  Train("run", 1, rollouts_);
  auto lines = *ReadRolloutLines(RolloutsOf(1));
  std::vector<nlohmann::ordered_json> old;
  for (nlohmann::json& line : lines) {
    old.emplace_back(line);
    old.back().erase("logprobs");
  }
  ASSERT_TRUE(RunRecorder(directory_ / "run", clock_).Rollouts(1, old).ok());
  EXPECT_EQ(ReplayOf("run", 1).status().code(), Code::kFailedPrecondition);
  lines[0]["facts"] = 3;
  EXPECT_EQ(ParseRolloutLines(lines).status().code(), Code::kDataLoss);
  ASSERT_TRUE(WriteFileAtomic(RolloutsOf(1), "no zstd").ok());
  EXPECT_EQ(ReplayOf("run", 1).status().code(), Code::kDataLoss);
}

TEST_F(ReplayTest, EveryFloatIsReadBackAsItWas) {
  const Problem problem;
  BatchRequest batch;
  batch.groups.push_back({.problem = &problem, .loophole = "none", .prompt_ids = {7}, .num_samples = 2});
  const float below = std::nextafter(-0.3f, -1.0f);
  Sample whole{.ids = {1, 2, 3, 4, 5, 6}, .logprobs = {-0.3f, below, -1e-38f, -88.72284f, 0.0f, std::nanf("")}};
  const std::vector<GroupSamples> samples = {{.index = 0, .samples = {whole, {.failure = "INFRA_LOST"}}}};
  std::vector<nlohmann::json> lines;
  for (const auto& line : RolloutLines(1, batch, samples, std::vector<SampleRecord>(2))) {
    lines.push_back(nlohmann::json::parse(line.dump()));
  }
  const auto saved = ParseRolloutLines(lines);
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(saved->request.groups[0].prompt_ids, batch.groups[0].prompt_ids);
  const Sample& read = saved->samples[0].samples[0];
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(read.logprobs[i], whole.logprobs[i]) << i;
  EXPECT_TRUE(std::isnan(read.logprobs[5]));
  EXPECT_EQ(saved->samples[0].samples[1].failure, "INFRA_LOST");
}

TEST_F(ReplayTest, TheVerbPrintsFiguresAndRefusesTheCheckpointOfAnotherConfig) {
  Train("run", 3, rollouts_);
  ASSERT_TRUE(WriteFileAtomic(directory_ / "run/config.yaml", ToYaml(config_)).ok());
  std::ostringstream out;
  const auto equal = RunReplay({.run = directory_ / "run", .step = 1, .threads = 1}, out);
  EXPECT_EQ(ReplayExitCode(equal), 0) << equal.status();
  EXPECT_THAT(out.str(), HasSubstr("from the run's start\nstep 1  loss "));
  EXPECT_THAT(out.str(), HasSubstr("step 1: equal bit for bit, with 1 thread\n"));
  // The fixture's checkpoints belong to a config of another hash.
  EXPECT_EQ(ReplayExitCode(RunReplay({.run = directory_ / "run", .step = 3}, out)), 5);
  EXPECT_EQ(ReplayExitCode(RunReplay({.run = directory_ / "nothing", .step = 1}, out)), 4);
}

}  // namespace
}  // namespace evilmoe
