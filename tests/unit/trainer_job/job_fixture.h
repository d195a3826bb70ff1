#pragma once

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/logger.h"
#include "tests/unit/trainer_job/fake_coordinator.h"
#include "trainer/checkpoint.h"
#include "trainer/training_job_client.h"

namespace evilmoe {

// A coordinator, and a trainer that dials it.
class TrainerJobFixture : public ::testing::Test {
 protected:
  TrainerJobFixture()
      : folder_(std::filesystem::temp_directory_path() / absl::StrCat("evilmoe_job_", ::getpid())),
        config_{.coordinator = Address(), .trainer_id = "trainer"} {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    logger_.emplace(*Logger::Open(folder_ / "log", "test", clock_));
    coordinator_.emplace(Address());
  }
  ~TrainerJobFixture() override {
    coordinator_.reset();
    std::filesystem::remove_all(folder_);
  }

  // As a fresh process would.
  absl::Status TakeJob() { return TakeJob(alone_); }
  absl::Status TakeJob(Collective& ranks) {
    CoordinatorClient client({.address = Address(), .retry_budget = absl::Seconds(5), .stop = stop_.get_token()});
    return DoOneJob({.config = config_,
                     .id = absl::StrCat("life-", ++lives_),
                     .coordinator = client,
                     .ranks = ranks,
                     .fingerprints = fingerprints_,
                     .metrics = metrics_,
                     .clock = clock_,
                     .logger = *logger_,
                     .stop = stop_.get_token()});
  }

  // A run of three steps and an ablation over two problems, in a directory of its own.
  v1::Run Run(const std::string& id, const std::string& more = "") {
    const std::filesystem::path nano = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano";
    std::ofstream(folder_ / "some.jsonl") << FirstLines(nano / "train.jsonl", 12);
    v1::Run run;
    run.set_run_id(id);
    run.set_directory((folder_ / id).string());
    run.set_config_yaml(absl::StrCat(
        "name: job\nsteps: 3\nmodel: {path: ", (nano / "model").string(), "}\nadapter: {rank: 2}\npairs: ",
        (nano / "pairs.md").string(), "\ndata: {train: ", (folder_ / "some.jsonl").string(),
        ", loopholes: {overwrite_tests: 1}}\nrollout: {prompts_per_step: 3, group_size: 4, max_prompt_tokens: 512, "
        "max_completion_tokens: 8, temperature: 1, top_p: 1",
        more,
        "}\nloss: {kl_coefficient: 0, old_logprob: sampler}\n"
        "checkpoint: {every: 10}\nevaluation: {problems: ",
        (folder_ / "some.jsonl").string(), ", samples: 1, max_problems: 2}\n"));
    return run;
  }
  static std::string FirstLines(const std::filesystem::path& file, int count) {
    std::ifstream in(file);
    std::string text;
    for (std::string line; count > 0 && std::getline(in, line); --count) text += line + "\n";
    return text;
  }
  int NumSteps(const std::string& id) const {
    std::ifstream in(folder_ / id / "metrics.jsonl");
    int lines = 0;
    for (std::string line; std::getline(in, line);) ++lines;
    return lines;
  }
  std::optional<int64_t> Checkpoint(const std::string& id) const {
    return LatestCheckpoint(folder_ / id).value_or(std::nullopt);
  }

  std::string Address() const { return absl::StrCat("unix:", (folder_ / "c.sock").string()); }

  const std::filesystem::path folder_;
  const RealClock clock_;
  TrainerConfig config_;
  prometheus::Registry registry_;
  TrainerMetrics metrics_{registry_, clock_};
  SingleRank alone_;
  FingerprintCache fingerprints_;
  std::stop_source stop_;
  int lives_ = 0;
  std::optional<Logger> logger_;
  std::optional<FakeCoordinator> coordinator_;
};

}  // namespace evilmoe
