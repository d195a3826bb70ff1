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

// What a trainer leaves that is killed: while it writes a checkpoint, before `latest` names it, before the oldest goes,
// and while that goes.
TEST_F(CheckpointTest, WhatAKilledTrainerLeftIsGoneOnceTheRunGoesOn) {
  FakeRollouts rollouts;
  config_.checkpoint = {.every = 1, .keep = 2};
  Train("run", 2, rollouts);
  const fs::path folder = directory_ / "run/checkpoints";
  fs::create_directories(folder / ".step-7.tmp");
  std::ofstream(folder / ".step-7.tmp/adapter.safetensors") << "half";
  std::ofstream(folder / "latest.tmp.123") << "step-";
  fs::copy(folder / "step-2", folder / "step-3");
  fs::copy(folder / "step-2", folder / "step-0");
  Train("run", 2, rollouts);  // nothing is left to train, and no checkpoint to write
  EXPECT_THAT(CheckpointSteps(directory_ / "run"), ElementsAre(1, 2));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 3) << "two checkpoints and `latest`";
}

}  // namespace
}  // namespace evilmoe
