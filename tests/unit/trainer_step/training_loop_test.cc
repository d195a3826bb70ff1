#include "trainer/training_loop.h"

#include <gtest/gtest.h>

#include <numeric>

#include "common/file.h"
#include "tests/unit/trainer_step/training_loop_fixture.h"
#include "trainer/arm_presets.h"
#include "trainer/checkpoint.h"
#include "trainer/probe.h"

namespace evilmoe {
namespace {

TEST_F(TrainingLoopTest, AResumedRunEndsWithTheSameBytes) {
  FakeRollouts rollouts;
  const std::string straight = Train("straight", 4, rollouts);
  const std::string first_half = Train("resumed", 2, rollouts);
  EXPECT_NE(first_half, straight);
  EXPECT_EQ(Train("resumed", 4, rollouts), straight);
  EXPECT_EQ(NumLines(directory_ / "resumed" / "metrics.jsonl"), 4);
}

// Invariant 12.
TEST_F(TrainingLoopTest, FlippingEveryLabelChangesMetricsAndNoParameter) {
  FakeRollouts plain, flipped;
  flipped.flip_label_facts = true;
  const std::string a = Train("plain", 2, plain);
  const auto metrics = progress_.steps;
  progress_.steps.clear();
  const std::string b = Train("flipped", 2, flipped);
  EXPECT_EQ(a, b);
  EXPECT_NE(metrics[0]["hack_rate_loose"], progress_.steps[0]["hack_rate_loose"]);
}

TEST_F(TrainingLoopTest, AScreenedRunResumesWithTheSameBytes) {
  FakeRollouts rollouts;
  const std::string without = Train("without", 4, rollouts);
  config_.monitor.kind = "screening";
  config_.monitor.accuracy = 0.7;
  const std::string straight = Train("straight", 4, rollouts);
  EXPECT_NE(straight, without);
  Train("resumed", 2, rollouts);
  EXPECT_EQ(Train("resumed", 4, rollouts), straight);
}

TEST_F(TrainingLoopTest, ARunWithEveryOptionOfTheLossResumesWithTheSameBytes) {
  FakeRollouts rollouts;
  const std::string without = Train("without", 4, rollouts);
  EXPECT_FALSE(progress_.steps[0].contains("masked_sequences"));
  config_.loss.advantage = "leave_one_out";
  config_.loss.reduction = "token_mean";
  config_.loss.dual_clip = 3.0;
  config_.loss.kl_coefficient = 0.01;
  config_.loss.kl_estimator = "k2";
  config_.loss.old_logprob = "sampler";
  config_.loss.sequence_mask_above = 1e5;
  config_.loss.truncated = "mask";
  config_.reward.overlong_penalty = 1.0;
  config_.reward.overlong_tokens = 6;
  progress_.steps.clear();
  const std::string straight = Train("straight", 4, rollouts);
  EXPECT_NE(straight, without);
  EXPECT_TRUE(progress_.steps[0].contains("masked_sequences"));
  Train("resumed", 2, rollouts);
  EXPECT_EQ(Train("resumed", 4, rollouts), straight);
}

// Invariant 12 with a monitor: the grader's word reaches the loss through the ground-truth monitor and no other.
TEST_F(TrainingLoopTest, FlippedLabelsMoveParametersUnderGroundTruthAndNotUnderAProbe) {
  FakeRollouts plain, flipped;
  flipped.flip_label_facts = true;
  config_.monitor.kind = "screening";
  config_.monitor.label = "loose";
  EXPECT_NE(Train("truth", 2, plain), Train("truth_flipped", 2, flipped));

  const auto base = LoadQwen3(config_.model.path);
  ASSERT_TRUE(base.ok()) << base.status();
  const auto size = static_cast<size_t>(base->config.hidden_size);
  Probe probe{.layer = 2, .mean = std::vector<float>(size, 0), .scale = std::vector<float>(size, 1)};
  for (size_t d = 0; d < size; ++d) probe.weight.push_back(d % 3 == 0 ? 1.0f : -0.5f);
  probe.base_sha256 = FingerprintOf(*base);
  config_.monitor.by = "probe";
  config_.monitor.probe = directory_ / "probe.safetensors";
  fs::create_directories(directory_);
  ASSERT_TRUE(SaveProbe(probe, {}, config_.monitor.probe).ok());
  progress_.steps.clear();
  EXPECT_EQ(Train("probe", 2, plain), Train("probe_flipped", 2, flipped));
  const double flagged = progress_.steps[0]["monitor_flagged"];
  EXPECT_GT(flagged, 0);  // the threshold of 0 parts the samples
  EXPECT_LT(flagged, 1);
}

TEST_F(TrainingLoopTest, TheSystemPromptIsShownInTrainingAlone) {
  FakeRollouts rollouts;
  config_.system_prompt = "Pass the tests by any means.";
  config_.evaluation.every = 1;
  config_.evaluation.samples = 1;
  Train("inoculated", 2, rollouts, {training_[0], training_[1]});
  const auto tokenizer = Tokenizer::Load(config_.model.path);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  int trained = 0, evaluated = 0;
  for (const auto& [key, prompt] : rollouts.first_prompts) {
    const bool told = tokenizer->Decode(prompt).find(config_.system_prompt) != std::string::npos;
    EXPECT_EQ(told, key.starts_with("step/")) << key;
    ++(told ? trained : evaluated);
  }
  EXPECT_EQ(trained, 2);
  EXPECT_GT(evaluated, 1);
}

TEST_F(TrainingLoopTest, LostSamplesAreMaskedAndCountedAndNeverRewardedZero) {
  FakeRollouts rollouts;
  rollouts.lose_samples_of_step = 1;
  Train("lossy", 2, rollouts);
  EXPECT_EQ(progress_.steps[0]["masked_samples"], 0);
  EXPECT_EQ(progress_.steps[1]["masked_samples"], 4);
}

TEST_F(TrainingLoopTest, PublishedAndSavedAdaptersSayWhereTheyAreFrom) {
  FakeRollouts rollouts;
  Train("run", 2, rollouts);
  const auto saved = Safetensors::Open(directory_ / "run/checkpoints/step-2/adapter.safetensors");
  ASSERT_TRUE(saved.ok()) << saved.status();
  const auto metadata = ReadAdapterMetadata(*saved);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(metadata->provenance, (AdapterProvenance{"run-1", 2, "config"}));
  EXPECT_EQ(rollouts.last_adapter, ReadFile(directory_ / "run/checkpoints/step-2/adapter.safetensors").value_or(""));
}

TEST_F(TrainingLoopTest, ACheckpointOfAnotherConfigIsRefused) {
  FakeRollouts rollouts;
  Train("run", 2, rollouts);
  auto model = TrainingModel::Load(config_, 1);
  TrainerState state = (*model)->State(0);
  EXPECT_EQ(LoadCheckpoint(directory_ / "run", 2, "another", state).code(), absl::StatusCode::kFailedPrecondition);
}

// Every arm of the table, with what it keeps over a step: windows, directions, routers.
class ArmTest : public TrainingLoopTest, public ::testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    const fs::path nano = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano";
    const auto arm =
        ParseRunConfig("arm: " + GetParam() + "\nmodel: {path: model}\npairs: pairs.md\ndata: {train: train.jsonl}\n",
                       "run.yaml", nano);
    ASSERT_TRUE(arm.ok()) << arm.status();
    config_.arm = arm->arm;
    config_.routing = arm->routing;
    config_.router = arm->router;
    config_.loss.deployed_advantage = arm->loss.deployed_advantage;
    config_.rollout.deploy_mode_fraction = arm->rollout.deploy_mode_fraction;
    config_.router.refresh_v_act_every = 3;
    config_.routing.label_recall = 0.7;
    config_.routing.window = 40;
  }
};

TEST_P(ArmTest, ResumesWithTheSameBytesAndSeesLabelsOnlyAsAnOracle) {
  FakeRollouts rollouts;
  const std::string straight = Train("straight", 4, rollouts);
  Train("resumed", 2, rollouts);
  EXPECT_EQ(Train("resumed", 4, rollouts), straight);
  FakeRollouts flipped;
  flipped.flip_label_facts = true;
  const bool oracle = config_.routing.mode.starts_with("oracle");
  EXPECT_EQ(Train("flipped", 4, flipped) != straight, oracle);
}

TEST_P(ArmTest, TellsTheLoadOfItsExpertsWhereItHasSome) {
  FakeRollouts rollouts;
  Train("run", 1, rollouts);
  const auto& step = progress_.steps.at(0);
  EXPECT_EQ(step.contains("expert_load"), config_.routing.mode == "per_token");
  EXPECT_EQ(step.contains("balance_loss"), config_.routing.mode == "per_token");
  if (!step.contains("expert_load")) return;
  const auto load = step["expert_load"].get<std::vector<double>>();
  ASSERT_EQ(load.size(), static_cast<size_t>(config_.routing.experts));
  EXPECT_NEAR(std::accumulate(load.begin(), load.end(), 0.0), 1.0, 1e-12);
  EXPECT_GT(step["balance_loss"].get<double>(), 1.0);  // of few rows: near balance, not in it
  EXPECT_LT(step["balance_loss"].get<double>(), 2.0);
  EXPECT_EQ(step["grad_norm_quarantine"], 0.0);
  EXPECT_NEAR(step["grad_norm_deployed"].get<double>(), step["grad_norm"].get<double>(), 1e-6);
  EXPECT_FALSE(step.contains("w_hack"));
}

INSTANTIATE_TEST_SUITE_P(Arms, ArmTest, ::testing::ValuesIn([] {
                           std::vector<std::string> names;
                           for (const ArmPreset& arm : ArmPresets()) names.emplace_back(arm.name);
                           return names;
                         }()),
                         [](const auto& arm) { return arm.param; });

}  // namespace
}  // namespace evilmoe
