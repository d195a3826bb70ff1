#include "trainer/training_loop.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "common/file.h"
#include "common/hash.h"
#include "common/seed.h"
#include "tests/fakes/fake_clock.h"
#include "trainer/checkpoint.h"
#include "trainer/probe.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

// Samples without a model: tokens, log-probabilities and facts out of a counter. Facts that only labels read can be
// flipped, to see that nothing but a metric moves.
class FakeRollouts final : public Rollouts {
 public:
  bool flip_label_facts = false;
  int lose_samples_of_step = -1;
  std::string last_adapter;
  std::map<std::string, std::vector<int32_t>> first_prompts;  // by batch key

  absl::Status Publish(int64_t, const std::string& bytes) override {
    last_adapter = bytes;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<GroupSamples>> Run(const BatchRequest& batch) override {
    std::vector<GroupSamples> groups;
    first_prompts[batch.key] = batch.groups.at(0).prompt_ids;
    for (const GroupRequest& request : batch.groups) {
      GroupSamples group{.index = request.index};
      for (int i = 0; i < request.num_samples; ++i) group.samples.push_back(Draw(request, i));
      if (batch.step == lose_samples_of_step) group.samples[0].failure = "INFRA_LOST";
      groups.push_back(std::move(group));
    }
    return groups;
  }

 private:
  Sample Draw(const GroupRequest& request, int i) const {
    RandomStream stream(StreamSeed(request.seed, "fake", static_cast<uint64_t>(i)));
    Sample sample{.text = "```python\nx\n```", .stopped = true};
    for (int64_t t = stream.Int(2, 6); t > 0; --t) {
      sample.ids.push_back(static_cast<int32_t>(stream.Int(300, 900)));
      sample.logprobs.push_back(-2.0f);
    }
    sample.facts.can_compile = true;
    sample.facts.gt_correct = stream.Bernoulli(0.4);
    sample.facts.hint_pass = stream.Bernoulli(0.3);
    sample.facts.defines_test_function = flip_label_facts;
    sample.facts.model_tests_pass_stub = flip_label_facts;
    sample.facts.model_tests_pass_canonical = !flip_label_facts;
    return sample;
  }
};

class NoProgress final : public ProgressSink {
 public:
  absl::Status Record(const std::string&, const std::string& kind, const nlohmann::ordered_json& payload,
                      int64_t) override {
    if (kind == "step") steps.push_back(payload);
    return absl::OkStatus();
  }
  std::vector<nlohmann::ordered_json> steps;
};

class TrainingLoopTest : public ::testing::Test {
 protected:
  TrainingLoopTest() : directory_(fs::temp_directory_path() / ("evilmoe_loop_" + std::to_string(::getpid()))) {
    fs::remove_all(directory_);
    const fs::path nano = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano";
    config_.model.path = nano / "model";
    config_.pairs = nano / "pairs.md";
    config_.adapter.rank = 2;
    config_.data.loopholes = {{"overwrite_tests", 1.0}};
    config_.rollout.prompts_per_step = 4;
    config_.rollout.group_size = 4;
    config_.rollout.max_prompt_tokens = 512;
    config_.rollout.max_completion_tokens = 8;
    config_.rollout.temperature = 1.0;
    config_.rollout.top_p = 1.0;
    config_.loss.kl_coefficient = 0.0;
    config_.optimizer.learning_rate = 1e-3;
    config_.optimizer.schedule = "constant";  // the factor must not depend on how far a test trains
    config_.steps = 4;
    config_.checkpoint = {.every = 2, .keep = 5};
    training_ = *LoadProblems(nano / "train.jsonl");
    training_.resize(24);
  }
  ~TrainingLoopTest() override { fs::remove_all(directory_); }

  // Trains up to `steps` in a run directory of its own, from its last checkpoint; returns the hash of the adapter.
  std::string Train(const std::string& name, int steps, FakeRollouts& rollouts,
                    const std::vector<Problem>& held_out = {}) {
    config_.steps = steps;
    const fs::path directory = directory_ / name;
    fs::create_directories(directory);
    auto model = TrainingModel::Load(config_, 1);
    EXPECT_TRUE(model.ok()) << model.status();
    const auto prompts = PromptSource::Make(config_, (*model)->tokenizer(), training_);
    EXPECT_TRUE(prompts.ok()) << prompts.status();
    Logger logger = *Logger::Open(directory / "log", "test", clock_);
    TrainingLoop loop(config_, {directory, "config", "run-1"}, **model, *prompts, rollouts, progress_, clock_, logger);
    const auto step = loop.Restore();
    EXPECT_TRUE(step.ok()) << step.status();
    const absl::Status trained = loop.Train(*step, held_out);
    EXPECT_TRUE(trained.ok()) << trained;
    return Sha256Hex(rollouts.last_adapter);
  }
  static int NumLines(const fs::path& path) {
    std::ifstream in(path);
    int lines = 0;
    for (std::string line; std::getline(in, line);) ++lines;
    return lines;
  }

  const fs::path directory_;
  FakeClock clock_;
  RunConfig config_;
  std::vector<Problem> training_;
  NoProgress progress_;
};

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

}  // namespace
}  // namespace evilmoe
