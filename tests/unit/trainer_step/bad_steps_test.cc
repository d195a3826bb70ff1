// Steps whose loss or gradient is no number: a reward past the range of float in one batch is what makes them here.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"
#include "tests/unit/trainer_step/training_loop_fixture.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class BadStepsTest : public TrainingLoopTest {
 protected:
  BadStepsTest() {
    config_.reward.starter_and_tests = 1e39;
    config_.loss.advantage = "mean_centred";
    config_.checkpoint = {.every = 1, .keep = 9};
  }
  std::string TrainerFile(const std::string& name, int step) const {
    const fs::path folder = directory_ / name / "checkpoints" / ("step-" + std::to_string(step));
    return ReadFile(folder / "trainer.safetensors").value_or("");
  }
  // The adapter's tensors as bytes, without the metadata that names the step.
  std::map<std::string, std::string> AdapterOf(const std::string& name, int step) const {
    const fs::path folder = directory_ / name / "checkpoints" / ("step-" + std::to_string(step));
    const auto file = Safetensors::Open(folder / "adapter.safetensors");
    EXPECT_TRUE(file.ok()) << file.status();
    std::map<std::string, std::string> tensors;
    for (const auto& [key, view] : file->tensors()) {
      tensors[key].assign(reinterpret_cast<const char*>(view.data.data()), view.data.size());
    }
    return tensors;
  }
};

TEST_F(BadStepsTest, MoveNeitherParametersNorOptimizersAndAreCounted) {
  FakeRollouts rollouts;
  rollouts.odd_samples_with_tests = {1};
  Train("run", 3, rollouts);
  ASSERT_FALSE(TrainerFile("run", 1).empty());
  EXPECT_EQ(TrainerFile("run", 2), TrainerFile("run", 1));
  EXPECT_NE(TrainerFile("run", 3), TrainerFile("run", 2));
  EXPECT_FALSE(AdapterOf("run", 1).empty());
  EXPECT_EQ(AdapterOf("run", 2), AdapterOf("run", 1));
  EXPECT_NE(AdapterOf("run", 3), AdapterOf("run", 2));
  EXPECT_FALSE(progress_.steps[0].contains("bad_step"));
  EXPECT_EQ(progress_.steps[1]["bad_step"], 1);
  EXPECT_TRUE(progress_.steps[1]["loss"].is_null());
  EXPECT_FALSE(progress_.steps[1].contains("w_p50"));
  EXPECT_TRUE(progress_.steps[2]["loss"].is_number());
  EXPECT_THAT(progress_.warnings, ElementsAre(HasSubstr("step 2 dropped: loss ")));
}

TEST_F(BadStepsTest, EndTheRunWhenTooManyComeInARow) {
  FakeRollouts rollouts;
  config_.optimizer.max_bad_steps = 2;
  rollouts.odd_samples_with_tests = {0, 2, 3};
  const absl::Status status = TryTrain("run", 6, rollouts);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  const fs::path batch = directory_ / "run/rollouts/step-4.jsonl.zst";
  EXPECT_THAT(std::string(status.message()), HasSubstr("step 4: loss "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 such steps in a row"));
  EXPECT_THAT(std::string(status.message()), HasSubstr(batch.string()));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  EXPECT_TRUE(fs::exists(batch));
  EXPECT_EQ(NumLines(directory_ / "run/metrics.jsonl"), 4);
}

TEST_F(BadStepsTest, AreCountedOnByAResumedRun) {
  FakeRollouts rollouts;
  config_.optimizer.max_bad_steps = 2;
  rollouts.odd_samples_with_tests = {1, 2};
  Train("run", 2, rollouts);
  const absl::Status status = TryTrain("run", 4, rollouts);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("step 3: "));
}

TEST_F(BadStepsTest, LeaveResumptionExact) {
  FakeRollouts rollouts;
  rollouts.odd_samples_with_tests = {1};
  const std::string straight = Train("straight", 4, rollouts);
  Train("resumed", 2, rollouts);
  EXPECT_EQ(Train("resumed", 4, rollouts), straight);
  EXPECT_EQ(TrainerFile("resumed", 4), TrainerFile("straight", 4));
}

}  // namespace
}  // namespace evilmoe
