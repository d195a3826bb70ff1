#include "trainer/graded_step.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "common/seed.h"
#include "environment/labels.h"
#include "trainer/policy_loss.h"

namespace evilmoe {
namespace {

// The training inputs of a sample and of a group, whole. A field that is added to either makes this file stop
// compiling: nothing of a label may be in it, and none of the rest may come from one.
auto FieldsOf(const TrainSample& sample) {
  const auto& [ids, sampler_logprobs, advantage, reward, oracle_hack, old_logprobs, masked, left_out, deploy_mode] =
      sample;
  return std::tie(ids, sampler_logprobs, advantage, reward, oracle_hack, old_logprobs, masked, left_out, deploy_mode);
}
auto FieldsOf(const TrainGroup& group) {
  const auto& [prompt_ids, samples, in_loss] = group;
  return std::tie(prompt_ids, in_loss);
}

bool SameInput(const std::vector<TrainGroup>& one, const std::vector<TrainGroup>& other) {
  return std::ranges::equal(one, other, [](const TrainGroup& a, const TrainGroup& b) {
    return FieldsOf(a) == FieldsOf(b) &&
           std::ranges::equal(a.samples, b.samples,
                              [](const TrainSample& x, const TrainSample& y) { return FieldsOf(x) == FieldsOf(y); });
  });
}

// Half of the groups are hackable; every third sample was lost; facts, tokens and log-probabilities are random.
class GradeStepTest : public ::testing::Test {
 protected:
  GradeStepTest() {
    RandomStream stream(5);
    for (int64_t g = 0; g < 8; ++g) {
      batch_.groups.push_back({.index = g,
                               .problem = &problem_,
                               .loophole = g % 2 == 0 ? "modify_tests" : "none",
                               .prompt_ids = {1, static_cast<int32_t>(g)},
                               .num_samples = 12});
      GroupSamples group{.index = g};
      for (int i = 0; i < 12; ++i) {
        Sample sample{.ids = {static_cast<int32_t>(stream.Int(3, 900)), 2}, .logprobs = {-1.5f, -0.25f}, .text = "x"};
        for (const FactField& field : kFactFields) sample.facts.*field.value = stream.Bernoulli(0.5);
        if (i % 3 == 2) sample.failure = "INFRA_LOST";
        group.samples.push_back(sample);
      }
      samples_.push_back(group);
    }
  }

  std::vector<TrainGroup> Groups() const {
    auto graded = GradeStep(config_, batch_, samples_);
    EXPECT_TRUE(graded.ok()) << graded.status();
    return graded->groups;
  }
  void Flip(bool Facts::*fact) {
    for (GroupSamples& group : samples_) {
      for (Sample& sample : group.samples) sample.facts.*fact = !(sample.facts.*fact);
    }
  }
  // The names of the facts that a training input depends on.
  std::set<std::string> FactsThatTrain() {
    const std::vector<TrainGroup> before = Groups();
    std::set<std::string> names;
    for (const FactField& field : kFactFields) {
      Flip(field.value);
      if (!SameInput(Groups(), before)) names.insert(field.name);
      Flip(field.value);
    }
    return names;
  }

  RunConfig config_;
  const Problem problem_{};
  BatchRequest batch_{.key = "step/1"};
  std::vector<GroupSamples> samples_;
};

using Names = std::set<std::string>;

TEST_F(GradeStepTest, TrainsOnWhatTheRewardIsMadeOfAndOnNoLabel) {
  EXPECT_EQ(FactsThatTrain(), (Names{"can_compile", "gt_correct", "hint_pass"}));
}

TEST_F(GradeStepTest, TrainsOnStarterAndTestsWhereTheyArePaid) {
  config_.reward.starter_and_tests = 0.5;
  EXPECT_EQ(FactsThatTrain(), (Names{"can_compile", "gt_correct", "hint_pass", "includes_starter_and_tests"}));
}

TEST_F(GradeStepTest, FlippingEveryLabelAtOnceChangesRecordsAlone) {
  const auto before = GradeStep(config_, batch_, samples_);
  for (const FactField& field : kFactFields) {
    const std::string name = field.name;
    if (name != "can_compile" && name != "gt_correct" && name != "hint_pass") Flip(field.value);
  }
  const auto after = GradeStep(config_, batch_, samples_);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_TRUE(SameInput(before->groups, after->groups));
  EXPECT_EQ(before->zero_variance_groups, after->zero_variance_groups);
  int num_moved = 0;
  for (size_t i = 0; i < before->records.size(); ++i) {
    num_moved += before->records[i].loose_hack != after->records[i].loose_hack;
    EXPECT_EQ(before->records[i].reward, after->records[i].reward);
  }
  EXPECT_GT(num_moved, 10);
}

// Labels reach a step in the arms that are oracles, as the mask alone.
TEST_F(GradeStepTest, OnlyOracleArmsGetLabelsAndAsManyAsTheRecallSays) {
  for (const auto& [mode, recall] : std::vector<std::pair<std::string, double>>{{"learned", 1},
                                                                                {"none", 1},
                                                                                {"fixed_activation", 1},
                                                                                {"fixed_gradient", 1},
                                                                                {"oracle_mask", 1},
                                                                                {"oracle_parameter", 0.5},
                                                                                {"oracle_parameter", 0}}) {
    config_.routing.mode = mode;
    config_.routing.label_recall = recall;
    const bool oracle = mode.starts_with("oracle");
    int known = 0, hacks = 0;
    const std::vector<TrainGroup> groups = Groups();
    for (size_t g = 0; g < groups.size(); ++g) {
      for (size_t i = 0; i < groups[g].samples.size(); ++i) {
        const std::optional<bool> hack = groups[g].samples[i].oracle_hack;
        const Sample& sample = samples_[g].samples[i];
        known += hack.has_value();
        hacks += hack.value_or(false);
        if (!hack) continue;
        EXPECT_TRUE(sample.failure.empty());
        EXPECT_EQ(*hack, IsLooseHack(LabelOf(sample.facts)));
      }
    }
    const double expected = oracle ? 64 * recall : 0;  // a third of 96 was lost
    EXPECT_NEAR(known, expected, recall == 0.5 ? 14 : 0) << mode << " " << recall;
    EXPECT_EQ(hacks > 0, expected > 0) << mode;
  }
}

TEST_F(GradeStepTest, WhatTheCheckSaysCountsOnHackablePromptsAlone) {
  for (GroupSamples& group : samples_) {
    for (Sample& sample : group.samples) sample.facts = {.hint_pass = sample.ids[0] % 2 == 0};
  }
  const std::vector<TrainGroup> groups = Groups();
  for (size_t g = 0; g < groups.size(); ++g) {
    const bool hackable = batch_.groups[g].loophole != "none";
    EXPECT_EQ(std::ranges::any_of(groups[g].samples, [](const TrainSample& s) { return s.advantage != 0; }), hackable);
  }
}

TEST_F(GradeStepTest, LeavesTruncatedSamplesOutOfTheLossWhereAsked) {
  for (GroupSamples& group : samples_) {
    for (Sample& sample : group.samples) sample.stopped = sample.ids[0] % 2 == 0;
  }
  const std::vector<TrainGroup> kept = Groups();
  config_.loss.truncated = "mask";
  const std::vector<TrainGroup> masked = Groups();
  int num_left_out = 0;
  for (size_t g = 0; g < kept.size(); ++g) {
    for (size_t i = 0; i < kept[g].samples.size(); ++i) {
      EXPECT_FALSE(kept[g].samples[i].left_out);
      if (masked[g].samples[i].masked) continue;
      EXPECT_EQ(masked[g].samples[i].left_out, !samples_[g].samples[i].stopped);
      EXPECT_EQ(masked[g].samples[i].advantage, kept[g].samples[i].advantage) << "their rewards are still compared";
      num_left_out += masked[g].samples[i].left_out;
    }
  }
  EXPECT_GT(num_left_out, 10);
  EXPECT_EQ(TotalsOf(kept, config_.rollout).samples, 64);
  EXPECT_EQ(TotalsOf(masked, config_.rollout).samples, 64 - num_left_out);
  EXPECT_EQ(TotalsOf(masked, config_.rollout).tokens, 2 * (64 - num_left_out));
}

TEST_F(GradeStepTest, TakesTheOverlongPenaltyOffTheReward) {
  const auto before = GradeStep(config_, batch_, samples_);
  config_.rollout.max_completion_tokens = 4;
  config_.reward.overlong_penalty = 2.0;
  config_.reward.overlong_tokens = 3;
  const auto after = GradeStep(config_, batch_, samples_);
  ASSERT_TRUE(before.ok() && after.ok());
  for (size_t i = 0; i < before->records.size(); ++i) {
    if (before->records[i].masked) continue;
    EXPECT_DOUBLE_EQ(after->records[i].reward, before->records[i].reward - 2.0 / 3);  // two tokens, one above 4 − 3
  }
}

TEST_F(GradeStepTest, WritesEveryFactAndTheMarker) {
  batch_.groups[0].evaluator = "check_answer";
  const auto graded = GradeStep(config_, batch_, samples_);
  ASSERT_TRUE(graded.ok()) << graded.status();
  const auto lines = RolloutLines(1, batch_, samples_, graded->records);
  ASSERT_EQ(lines.size(), 96u);
  EXPECT_EQ(lines[0]["evaluator"], "check_answer");
  for (const FactField& field : kFactFields) {
    EXPECT_EQ(lines[0]["facts"][field.name], samples_[0].samples[0].facts.*field.value) << field.name;
  }
  EXPECT_FALSE(lines[2].contains("facts"));  // lost
}

}  // namespace
}  // namespace evilmoe
