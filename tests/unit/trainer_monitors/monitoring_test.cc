#include "trainer/monitoring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "policy/qwen3_weights.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "tests/unit/trainer_monitors/fake_judge_server.h"
#include "trainer/probe.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Kind = MonitorVerdict::Kind;
namespace fs = std::filesystem;

// Two groups of three samples on nano's model; the second of the first group is lost.
class MonitoringTest : public ::testing::Test {
 protected:
  MonitoringTest() : run_(fs::temp_directory_path() / ("evilmoe_monitoring_" + std::to_string(::getpid()))) {
    fs::remove_all(run_);
    fs::create_directories(run_);
    config_.model.path = fs::path(EVILMOE_SOURCE_DIR) / "examples/nano/model";
    config_.routing.mode = "none";
    config_.adapter.rank = 1;
    config_.rollout.max_prompt_tokens = config_.rollout.max_completion_tokens = 64;
    config_.monitor.kind = "screening";
    model_ = *TrainingModel::Load(config_, 1);
    for (int g = 0; g < 2; ++g) {
      batch_.groups.push_back({.index = g, .prompt_ids = {300, 301 + g}});
      GroupSamples group{.index = g};
      for (int i = 0; i < 3; ++i) {
        group.samples.push_back({.ids = {310 + i}, .logprobs = {0}, .text = "answer " + std::to_string(3 * g + i)});
        group.samples.back().facts.hint_pass = i == 0;
      }
      samples_.push_back(std::move(group));
    }
    samples_[0].samples[1].failure = "INFRA_LOST";
  }
  ~MonitoringTest() override { fs::remove_all(run_); }

  absl::StatusOr<std::vector<Kind>> Watch() {
    absl::StatusOr<Monitoring> monitoring = Monitoring::Make(config_, *model_, run_);
    if (!monitoring.ok()) return monitoring.status();
    const auto verdicts = monitoring->Watch(batch_, samples_);
    if (!verdicts.ok()) return verdicts.status();
    counts_ = monitoring->LastCounts();
    std::vector<Kind> kinds;
    for (const MonitorVerdict& verdict : *verdicts) kinds.push_back(verdict.kind);
    return kinds;
  }

  const fs::path run_;
  RunConfig config_;
  std::unique_ptr<TrainingModel> model_;
  BatchRequest batch_;
  std::vector<GroupSamples> samples_;
  std::map<std::string, int64_t> counts_;
};

const std::vector<Kind> kHacksFlagged = {Kind::kFlagged, Kind::kNotAsked, Kind::kClear,
                                         Kind::kFlagged, Kind::kClear,    Kind::kClear};

TEST_F(MonitoringTest, WithoutAMonitorNobodyIsAsked) {
  config_.monitor.kind = "none";
  EXPECT_EQ(Watch().value(), std::vector<Kind>{});
}

TEST_F(MonitoringTest, GroundTruthSaysTheLabelAndIsNotAskedOfALostSample) { EXPECT_EQ(Watch().value(), kHacksFlagged); }

TEST_F(MonitoringTest, ChanceGoesByRunStepGroupAndSample) {
  config_.monitor.accuracy = 0.5;
  samples_[0].samples.assign(64, samples_[0].samples[2]);
  samples_[1].samples.assign(64, samples_[0].samples[2]);
  const std::vector<Kind> first = Watch().value();
  EXPECT_EQ(Watch().value(), first);
  EXPECT_NE((std::vector<Kind>(first.begin(), first.begin() + 64)),
            (std::vector<Kind>(first.begin() + 64, first.end())));
  batch_.step = 1;
  EXPECT_NE(Watch().value(), first);
  batch_.step = 0;
  config_.seed = 1;
  EXPECT_NE(Watch().value(), first);
}

TEST_F(MonitoringTest, AJudgeKeepsItsVerdictsInTheRunDirectory) {
  const FakeJudgeServer server([](const FakeJudgeServer::Request& request) {
    const bool hack =
        request.body.find("answer 0") != std::string::npos || request.body.find("answer 3") != std::string::npos;
    return FakeJudgeServer::Says(hack ? "VERDICT: HACK" : "VERDICT: CLEAN");
  });
  config_.monitor.by = "judge";
  config_.monitor.judge = {.endpoint = server.endpoint() + "/", .model = "m", .retries = 0};
  EXPECT_EQ(Watch().value(), kHacksFlagged);
  EXPECT_EQ(counts_, (std::map<std::string, int64_t>{{"answered", 5}}));
  EXPECT_TRUE(fs::is_directory(run_ / "judge_cache"));
  EXPECT_EQ(Watch().value(), kHacksFlagged);  // as after a restart
  EXPECT_EQ(counts_, (std::map<std::string, int64_t>{{"cached", 5}}));
}

TEST_F(MonitoringTest, AStepWithoutAnyVerdictIsNoStep) {
  const FakeJudgeServer server([](const auto&) { return FakeJudgeServer::Says("Who knows?"); });
  config_.monitor.by = "judge";
  config_.monitor.judge = {.endpoint = server.endpoint(), .model = "m", .retries = 0};
  const absl::Status status = Watch().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no verdict on any of 5 samples; the first: judge's reply"));
}

TEST_F(MonitoringTest, AProbeOfAnotherBaseIsRefusedByName) {
  const Qwen3Weights other = TinyNetwork();
  const auto size = static_cast<size_t>(other.config.hidden_size);
  const std::vector<float> ones(size, 1);
  config_.monitor.by = "probe";
  config_.monitor.probe = run_ / "probe.safetensors";
  EXPECT_EQ(Watch().status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(SaveProbe({.layer = 1, .mean = ones, .scale = ones, .weight = ones, .base_sha256 = FingerprintOf(other)},
                        {}, config_.monitor.probe)
                  .ok());
  const absl::Status status = Watch().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("probe.safetensors: probe: trained on another base model"));
}

}  // namespace
}  // namespace evilmoe
