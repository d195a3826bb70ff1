#include "services/runs/rollout_path.h"

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

TEST(RolloutPath, IsReadAsItIsWritten) {
  EXPECT_EQ(RolloutPath(12), "rollouts/step-12.jsonl.zst");
  EXPECT_EQ(RolloutStepOf(RolloutPath(12)), 12);
  EXPECT_EQ(RolloutStepOf(RolloutPath(0)), 0);
}

TEST(RolloutPath, OtherFilesHaveNoStep) {
  for (const char* path : {"", "rollouts/step-.jsonl.zst", "rollouts/step-1.jsonl", "rollouts/step--1.jsonl.zst",
                           "rollouts/step-x.jsonl.zst", "step-1.jsonl.zst", "rollouts/sub/step-1.jsonl.zst",
                           "rollouts/step-99999999999999999999.jsonl.zst", "rollouts/step-.zst"}) {
    EXPECT_EQ(RolloutStepOf(path), std::nullopt) << path;
  }
}

}  // namespace
}  // namespace evilmoe
