#include "trainer/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/trainer_step/training_loop_fixture.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;

class CheckpointTest : public TrainingLoopTest {};

TEST_F(CheckpointTest, OnlyTheNewestAreKeptAcrossAResumptionToo) {
  FakeRollouts rollouts;
  config_.checkpoint = {.every = 1, .keep = 2};
  Train("run", 3, rollouts);
  EXPECT_THAT(CheckpointSteps(directory_ / "run"), ElementsAre(2, 3));
  Train("run", 4, rollouts);
  EXPECT_THAT(CheckpointSteps(directory_ / "run"), ElementsAre(3, 4));
  EXPECT_EQ(LatestCheckpoint(directory_ / "run").value(), 4);
}

TEST_F(CheckpointTest, TheLastStepHasOneWhateverIsDue) {
  FakeRollouts rollouts;
  config_.checkpoint = {.every = 2, .keep = 5};
  Train("run", 3, rollouts);
  EXPECT_THAT(CheckpointSteps(directory_ / "run"), ElementsAre(2, 3));
}

TEST_F(CheckpointTest, WhatAKilledTrainerLeftUnfinishedIsRemoved) {
  FakeRollouts rollouts;
  const fs::path unfinished = directory_ / "run/checkpoints/.step-7.tmp";
  fs::create_directories(unfinished);
  std::ofstream(unfinished / "adapter.safetensors") << "half";
  Train("run", 1, rollouts);
  EXPECT_FALSE(fs::exists(unfinished));
  EXPECT_THAT(CheckpointSteps(directory_ / "run"), ElementsAre(1));
}

}  // namespace
}  // namespace evilmoe
