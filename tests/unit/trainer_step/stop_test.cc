// A run that is asked to stop in the middle of its work.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/trainer_step/training_loop_fixture.h"
#include "trainer/checkpoint.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;

// Asks its run to stop once the batch with this key is opened, and then does as `how` says.
class StoppingRollouts final : public Rollouts {
 public:
  enum class How { kBatchCutShort, kBatchFinished, kCoordinatorGone };
  StoppingRollouts(FakeRollouts& rollouts, std::string key, How how)
      : rollouts_(rollouts), key_(std::move(key)), how_(how) {}

  std::stop_token stop() const { return stop_.get_token(); }
  absl::Status Publish(int64_t step, const std::string& bytes) override {
    if (stop_.stop_requested() && how_ == How::kCoordinatorGone) return absl::UnavailableError("gone");
    return rollouts_.Publish(step, bytes);
  }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override {
    keys.push_back(batch.key);
    if (batch.key == key_) stop_.request_stop();
    if (stop_.stop_requested() && how_ == How::kBatchCutShort) return absl::CancelledError("stopped");
    return rollouts_.Run(batch);
  }
  std::vector<std::string> keys;

 private:
  FakeRollouts& rollouts_;
  const std::string key_;
  const How how_;
  std::stop_source stop_;
};

using How = StoppingRollouts::How;

class StopTest : public TrainingLoopTest {
 protected:
  StopTest() { config_.checkpoint = {.every = 10, .keep = 2}; }
  // Stops in the batch, expects that to be no failure, and returns the step of the last checkpoint.
  std::optional<int64_t> StopIn(const std::string& key, How how, const std::vector<Problem>& held_out = {}) {
    StoppingRollouts rollouts(rollouts_, key, how);
    const absl::Status status = TryTrain("stopped", 4, rollouts, held_out, rollouts.stop());
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    return LatestCheckpoint(directory_ / "stopped").value_or(std::nullopt);
  }
  FakeRollouts rollouts_;
};

struct StopCase {
  const char* name;
  How how;
  std::optional<int64_t> want_checkpoint;
};
class StoppedStep : public StopTest, public ::testing::WithParamInterface<StopCase> {};

TEST_P(StoppedStep, IsFinishedOrAbandonedAndTheRunEndsWithTheSameBytes) {
  const std::string straight = Train("straight", 4, rollouts_);
  EXPECT_EQ(StopIn("step/3", GetParam().how), GetParam().want_checkpoint);
  EXPECT_EQ(Train("stopped", 4, rollouts_), straight);
  EXPECT_EQ(NumLines(directory_ / "stopped/metrics.jsonl"), 4);
}

// Of 4 steps, in the third.
INSTANTIATE_TEST_SUITE_P(Cases, StoppedStep,
                         ::testing::Values(StopCase{"AbandonedWhileItWaits", How::kBatchCutShort, 2},
                                           StopCase{"FinishedOnceItHasSamples", How::kBatchFinished, 3},
                                           StopCase{"WithoutCheckpointAheadOfItsRecords", How::kCoordinatorGone,
                                                    std::nullopt}),
                         [](const auto& c) { return c.param.name; });

// Another trainer may be writing its own by then.
TEST_F(StopTest, ARunThatIsKnownToBeAnothersLeavesNoCheckpoint) {
  progress_.held = absl::AbortedError("taken over");
  StoppingRollouts rollouts(rollouts_, "step/3", How::kBatchCutShort);
  EXPECT_EQ(TryTrain("run", 4, rollouts, {}, rollouts.stop()).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(LatestCheckpoint(directory_ / "run").value_or(0), std::nullopt);
}

TEST_F(StopTest, BeforeTheFirstStepLeavesNothing) { EXPECT_EQ(StopIn("step/1", How::kBatchCutShort), std::nullopt); }

TEST_F(StopTest, InAnEvaluationHasItDoneAfterwardsAndOnce) {
  config_.evaluation.every = 2;
  config_.evaluation.samples = 1;
  const std::vector<Problem> held_out = {training_[0], training_[1]};
  const fs::path table = directory_ / "stopped/eval/ablation-step-2.json";
  ASSERT_EQ(StopIn("ablation/step-2/1", How::kBatchCutShort, held_out), 2);
  EXPECT_FALSE(fs::exists(table));
  ASSERT_EQ(StopIn("step/3", How::kBatchCutShort, held_out), 2);
  EXPECT_TRUE(fs::exists(table));
  StoppingRollouts last(rollouts_, "", How::kBatchFinished);
  EXPECT_TRUE(TryTrain("stopped", 4, last, held_out).ok());
  EXPECT_THAT(last.keys, ElementsAre("step/3", "step/4"));
}

TEST_F(StopTest, AnErrorOfTheRunIsNotTakenForTheStop) {
  config_.reward.starter_and_tests = 1e39;
  config_.loss.advantage = "mean_centred";
  config_.optimizer.max_bad_steps = 1;
  rollouts_.odd_samples_with_tests = {1};
  StoppingRollouts rollouts(rollouts_, "step/2", How::kBatchFinished);
  EXPECT_EQ(TryTrain("run", 4, rollouts, {}, rollouts.stop()).code(), absl::StatusCode::kFailedPrecondition);
}

// A group of ranks that breaks in a step, as when another rank dies: the run is asked to stop, and its sum fails.
class BreakingRanks final : public Collective {
 public:
  explicit BreakingRanks(int sums) : sums_left_(sums) {}
  int rank() const override { return 0; }
  int size() const override { return 1; }
  c10::Device device() const override { return c10::kCPU; }
  absl::Status Sum(at::Tensor&) override {
    if (sums_left_-- > 0) return absl::OkStatus();
    stop_.request_stop();
    return absl::UnavailableError("sum: rank 1 died");
  }
  absl::StatusOr<std::string> Broadcast(std::string bytes) override { return bytes; }
  absl::Status AwaitTurn() override { return absl::OkStatus(); }
  std::stop_token stop() const { return stop_.get_token(); }

 private:
  int sums_left_;
  std::stop_source stop_;
};

// What a broken step has moved (a fixed gate's window, the parameters of its first minibatches) is in no checkpoint.
TEST_F(StopTest, AStepThatBreaksHalfWayIsNotSaved) {
  config_.routing.mode = "fixed_activation";
  config_.loss.minibatches = 2;
  const std::string straight = Train("straight", 4, rollouts_);
  for (int sums = 5; sums < 12; ++sums) {
    BreakingRanks ranks(sums);
    const std::string name = "broken_" + std::to_string(sums);
    EXPECT_FALSE(TryTrain(name, 4, rollouts_, {}, ranks.stop(), &ranks).ok());
    EXPECT_EQ(Train(name, 4, rollouts_), straight) << sums << " sums";
  }
}

}  // namespace
}  // namespace evilmoe
