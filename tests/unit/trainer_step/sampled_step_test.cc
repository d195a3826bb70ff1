#include "trainer/sampled_step.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/unit/trainer_step/training_loop_fixture.h"

namespace evilmoe {
namespace {

// Gives the groups of some batches equal rewards, and notes what was asked.
class SomeEqualRewards final : public Rollouts {
 public:
  // By batch key: which of its groups have equal rewards.
  std::map<std::string, std::set<int64_t>> equal;
  std::vector<BatchRequest> asked;

  absl::Status Publish(int64_t, const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override {
    asked.push_back(batch);
    std::vector<GroupSamples> groups;
    for (const GroupRequest& request : batch.groups) {
      GroupSamples group{.index = request.index};
      for (int i = 0; i < request.num_samples; ++i) {
        Sample sample{.ids = {static_cast<int32_t>(300 + asked.size()), 301}, .logprobs = {-1, -1}, .text = "x"};
        const bool right = i == 0 && !equal[batch.key].contains(request.index);
        const bool again = asked.size() > 1;  // replacements hack where first draws are right
        sample.facts.gt_correct = right && !again;
        sample.facts.hint_pass = right && again;
        group.samples.push_back(sample);
      }
      groups.push_back(std::move(group));
    }
    return groups;
  }
};

class SampledStepTest : public TrainingLoopTest {
 protected:
  void SetUp() override {
    config_.routing.mode = "none";
    config_.rollout.deploy_mode_fraction = 0.5;
    config_.data.unhackable_fraction = 0;  // a reward of the check counts everywhere
    config_.loss.zero_variance = "resample";
    config_.loss.resample_rounds = 2;
    model_ = *TrainingModel::Load(config_, 1);
  }
  SampledStep Sample(SomeEqualRewards& rollouts) {
    const PromptSource prompts = *PromptSource::Make(config_, model_->tokenizer(), training_);
    Monitoring monitoring = *Monitoring::Make(config_, *model_, directory_);
    auto step = SampleStep(config_, prompts, 4, rollouts, monitoring, clock_);
    EXPECT_TRUE(step.ok()) << step.status();
    return *std::move(step);
  }

  std::unique_ptr<TrainingModel> model_;
};

TEST_F(SampledStepTest, GroupsOfEqualRewardsAreDrawnAgainUpToTheCap) {
  SomeEqualRewards rollouts;
  rollouts.equal = {{"step/5", {0, 2, 3}}, {"step/5/resample/1", {1}}, {"step/5/resample/2", {0}}};
  const SampledStep step = Sample(rollouts);
  ASSERT_EQ(rollouts.asked.size(), 3u);  // a third round would have been needed for group 2
  EXPECT_EQ(rollouts.asked[1].groups.size(), 3u);
  EXPECT_EQ(rollouts.asked[2].groups.size(), 1u);
  EXPECT_EQ(step.resampled_groups, 4);
  EXPECT_EQ(step.graded.zero_variance_groups, 3);
  EXPECT_EQ(step.graded.ZeroVariance(), (std::vector<int64_t>{2}));
  const std::vector<int32_t> drawn_in = {302, 301, 303, 302};
  for (size_t g = 0; g < 4; ++g) {
    const GroupRequest& first = rollouts.asked[0].groups[g];
    const GroupRequest& now = step.batch.groups[g];
    EXPECT_EQ(step.samples[g].samples[0].ids[0], drawn_in[g]) << g;
    EXPECT_EQ(now.index, static_cast<int64_t>(g));
    EXPECT_EQ(step.samples[g].index, static_cast<int64_t>(g));
    EXPECT_EQ(step.graded.groups[g].prompt_ids, now.prompt_ids);
    EXPECT_EQ(now.mode.part, first.mode.part);
    EXPECT_EQ(now.loophole, first.loophole);
    EXPECT_EQ(now.seed == first.seed, g == 1);
  }
}

TEST_F(SampledStepTest, WithSkipNothingIsDrawnAgain) {
  config_.loss.zero_variance = "skip";
  SomeEqualRewards rollouts;
  rollouts.equal = {{"step/5", {0, 2, 3}}};
  const SampledStep step = Sample(rollouts);
  EXPECT_EQ(rollouts.asked.size(), 1u);
  EXPECT_EQ(step.graded.zero_variance_groups, 3);
}

TEST_F(SampledStepTest, AMonitorsVerdictsFollowTheirGroups) {
  config_.monitor = {.kind = "screening", .by = "ground_truth"};
  SomeEqualRewards rollouts;
  rollouts.equal = {{"step/5", {1}}};
  const SampledStep step = Sample(rollouts);
  ASSERT_EQ(step.verdicts.size(), 16u);
  for (size_t i = 0; i < step.verdicts.size(); ++i) {  // sample 0 of group 1 hacks since it was drawn again
    EXPECT_EQ(step.verdicts[i].kind == MonitorVerdict::Kind::kFlagged, i == 4) << i;
  }
  EXPECT_EQ(step.resampled_groups, 2);  // a group without its flagged sample is one of equal rewards
}

// A whole run: the same bytes each time, and its records count what was drawn.
TEST_F(SampledStepTest, ARunWithResamplingMinibatchesAndInnerStepsRepeatsItself) {
  config_.loss.minibatches = 2;
  config_.loss.inner_steps = 2;
  FakeRollouts rollouts;
  const std::string once = Train("once", 2, rollouts), again = Train("again", 2, rollouts);
  EXPECT_EQ(once, again);
  config_.loss.inner_steps = 1;
  EXPECT_NE(Train("one_pass", 2, rollouts), once);
}

}  // namespace
}  // namespace evilmoe
