#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/hash.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_rollouts.h"
#include "trainer/training_loop.h"

namespace evilmoe {

namespace fs = std::filesystem;

class NoProgress final : public ProgressSink {
 public:
  absl::Status Record(const std::string&, const std::string& kind, const nlohmann::ordered_json& payload,
                      int64_t) override {
    if (kind == "step") steps.push_back(payload);
    if (kind == "warning") warnings.push_back(payload.at("message").get<std::string>());
    return absl::OkStatus();
  }
  absl::Status Held() const override { return held; }
  absl::Status held;
  std::vector<nlohmann::ordered_json> steps;
  std::vector<std::string> warnings;
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

  // Trains up to `steps` in a run directory of its own, from its last checkpoint.
  absl::Status TryTrain(const std::string& name, int steps, Rollouts& rollouts,
                        const std::vector<Problem>& held_out = {}, const std::stop_token& stop = {},
                        Collective* ranks = nullptr) {
    config_.steps = steps;
    const fs::path directory = directory_ / name;
    fs::create_directories(directory);
    SingleRank alone;
    auto model = TrainingModel::Load(config_, 1, ranks != nullptr ? *ranks : alone);
    EXPECT_TRUE(model.ok()) << model.status();
    const auto prompts = PromptSource::Make(config_, (*model)->tokenizer(), training_);
    EXPECT_TRUE(prompts.ok()) << prompts.status();
    Logger logger = *Logger::Open(directory / "log", "test", clock_);
    TrainingLoop loop(config_, {directory, "config", "run-1"}, **model, *prompts, rollouts, progress_, clock_, logger);
    const auto step = loop.Restore();
    EXPECT_TRUE(step.ok()) << step.status();
    return loop.Train(*step, held_out, stop);
  }
  // The same, to the end; returns the hash of the adapter.
  std::string Train(const std::string& name, int steps, FakeRollouts& rollouts,
                    const std::vector<Problem>& held_out = {}) {
    const absl::Status trained = TryTrain(name, steps, rollouts, held_out);
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

}  // namespace evilmoe
