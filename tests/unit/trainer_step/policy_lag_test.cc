// Runs whose samples may be of older policies than the one that is trained.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "tests/fakes/binding_rollouts.h"
#include "tests/unit/trainer_step/training_loop_fixture.h"
#include "trainer/checkpoint.h"
#include "trainer/replay.h"
#include "trainer/sampled_step.h"
#include "trainer/saved_rollouts.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

class PolicyLagTest : public TrainingLoopTest {
 protected:
  PolicyLagTest() {
    config_.rollout.prompts_per_step = 3;
    config_.rollout.group_size = 3;
    config_.loss.old_logprob = "sampler";
    config_.checkpoint = {.every = 2, .keep = 9};
  }
  static constexpr int kSteps = 6;

  // The policy steps of every sample of a run, by the step (done before it) that trained on it.
  std::map<int64_t, std::set<int64_t>> PolicySteps(const std::string& name) const {
    std::map<int64_t, std::set<int64_t>> steps;
    for (int64_t step = 0; step < kSteps; ++step) {
      const auto lines = ReadRolloutLines(RunRecorder::RolloutsPath(directory_ / name, step + 1));
      EXPECT_TRUE(lines.ok()) << lines.status();
      for (const auto& line : *lines) {
        EXPECT_EQ(line.at("version"), step);
        steps[step].insert(line.at("policy_step").get<int64_t>());
      }
    }
    return steps;
  }

  // Trains in so many lives as it takes; each is stopped or breaks in a wait that `stream` chooses.
  void TrainInterrupted(const std::string& name, BindingRollouts& rollouts, RandomStream& stream) {
    for (int life = 0; life < 20; ++life) {
      std::stop_source stop;
      int64_t waits = stream.Int(20, 120);
      const bool breaks = stream.Bernoulli(0.5);
      rollouts.interrupt = [&](const BatchRequest&) -> absl::Status {
        if (--waits > 0 || life >= 3) return absl::OkStatus();
        if (breaks) return absl::InternalError("broken");  // and no checkpoint is left
        stop.request_stop();
        return absl::CancelledError("stopped");
      };
      const auto latest = LatestCheckpoint(directory_ / name);
      rollouts.Begin(latest.ok() ? latest->value_or(0) : 0);
      if (TryTrain(name, kSteps, rollouts, {}, stop.get_token()).ok()) return;
    }
    FAIL() << "no life came to the end";
  }
};

// Random lags, moments of leases, losses, stops and failures.
TEST_F(PolicyLagTest, NoScheduleGivesASampleThatIsTooOld) {
  int64_t ahead = 0, behind = 0;
  for (uint64_t seed = 0; seed < 24; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream stream(StreamSeed(seed, "schedule", 0));
    const auto lag = stream.Int(1, 4);
    config_.rollout.max_policy_lag = static_cast<int>(lag);
    config_.loss.zero_variance = stream.Bernoulli(0.3) ? "resample" : "skip";
    BindingRollouts rollouts(seed);
    const std::string name = absl::StrCat("run-", seed);
    progress_.steps.clear();
    TrainInterrupted(name, rollouts, stream);
    for (const auto& [step, policies] : PolicySteps(name)) {
      EXPECT_GE(*policies.begin(), step - lag);
      EXPECT_LE(*policies.rbegin(), step);
      behind += *policies.begin() < step;
    }
    for (const auto& metrics : progress_.steps) {
      EXPECT_LE(metrics.at("policy_lag_max").get<int64_t>(), lag);
      EXPECT_LE(metrics.at("policy_lag_mean").get<double>(), metrics.at("policy_lag_max").get<double>());
    }
    ahead += rollouts.finished_early;
  }
  EXPECT_GT(ahead, 50);   // groups
  EXPECT_GT(behind, 30);  // steps
}

TEST_F(PolicyLagTest, ABatchIsSampledWhileTheOneBeforeItIsTrained) {
  const auto share_done_early = [&](int lag) {
    config_.rollout.max_policy_lag = lag;
    BindingRollouts rollouts(7);
    EXPECT_TRUE(TryTrain(absl::StrCat("lag-", lag), kSteps, rollouts).ok());
    EXPECT_EQ(rollouts.opened_ahead, lag > 0 ? kSteps : 0);
    return static_cast<double>(rollouts.finished_early) / static_cast<double>(rollouts.num_groups);
  };
  EXPECT_EQ(share_done_early(0), 0);
  EXPECT_GT(share_done_early(1), 0.2);
}

TEST_F(PolicyLagTest, WithoutLagNothingSpeaksOfIt) {
  FakeRollouts rollouts;
  Train("run", 2, rollouts);
  EXPECT_FALSE(progress_.steps[0].contains("policy_lag_mean"));
  EXPECT_FALSE(progress_.steps[0].contains("policy_lag_max"));
  const auto lines = ReadRolloutLines(RunRecorder::RolloutsPath(directory_ / "run", 1));
  ASSERT_TRUE(lines.ok()) << lines.status();
  for (const auto& line : *lines) EXPECT_FALSE(line.contains("policy_step"));
}

TEST_F(PolicyLagTest, AStepOfOlderSamplesIsReplayedBitForBit) {
  config_.rollout.max_policy_lag = 2;
  config_.checkpoint.every = 4;
  BindingRollouts rollouts(3);
  ASSERT_TRUE(TryTrain("run", kSteps, rollouts).ok());
  EXPECT_GT(progress_.steps[2].at("policy_lag_max"), 0);
  const auto model = TrainingModel::Load(config_, 1);
  ASSERT_TRUE(model.ok()) << model.status();
  const auto replay = ReplayStep(config_, directory_ / "run", "config", 3, **model);
  ASSERT_TRUE(replay.ok()) << replay.status();
  ASSERT_EQ(replay->steps.size(), 3u);
  for (const ReplayedStep& step : replay->steps) EXPECT_TRUE(step.Equal()) << step.step;
}

// Gives every group of a batch to the policy of one step.
class OnePolicy final : public Rollouts {
 public:
  explicit OnePolicy(int64_t policy_step) : policy_step_(policy_step) {}
  absl::Status Publish(int64_t, const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override {
    auto groups = samples_.Run(batch);
    for (GroupSamples& group : *groups) group.policy_step = policy_step_;
    return groups;
  }

 private:
  const int64_t policy_step_;
  FakeRollouts samples_;
};

TEST_F(PolicyLagTest, ASampleOfAnotherPolicyThanAllowedIsRefused) {
  const auto model = TrainingModel::Load(config_, 1);
  ASSERT_TRUE(model.ok()) << model.status();
  for (const int lag : {0, 2}) {
    config_.rollout.max_policy_lag = lag;
    const PromptSource prompts = *PromptSource::Make(config_, (*model)->tokenizer(), training_);
    Monitoring nobody = Monitoring::None();
    for (int64_t policy = 1; policy <= 6; ++policy) {
      OnePolicy rollouts(policy);
      const absl::Status status = SampleStep(config_, prompts, 4, rollouts, nobody, clock_).status();
      const bool allowed = policy >= 4 - lag && policy <= 4;
      EXPECT_EQ(status.code(), allowed ? absl::StatusCode::kOk : absl::StatusCode::kInternal) << policy << status;
      if (allowed) continue;
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr(absl::StrCat("of step ", policy, ", expected one of steps ", 4 - lag, " to 4")));
    }
  }
}

}  // namespace
}  // namespace evilmoe
