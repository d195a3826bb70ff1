#include "trainer/probe.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/file.h"
#include "policy/safetensors.h"
#include "tests/unit/policy_network/tiny_network.h"
#include "trainer/logistic_regression.h"
#include "trainer/probe_evaluation.h"
#include "trainer/probe_monitor.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ProbeFileTest : public ::testing::Test {
 protected:
  ProbeFileTest() : file_(fs::temp_directory_path() / ("evilmoe_probe_" + std::to_string(::getpid()))) {
    const auto size = static_cast<size_t>(base_.config.hidden_size);
    probe_ = {.layer = 2, .mean = std::vector<float>(size, 0.1f), .scale = std::vector<float>(size, 0.7f)};
    for (size_t d = 0; d < size; ++d) probe_.weight.push_back(0.3f - 0.05f * static_cast<float>(d));
    probe_.bias = -0.2f;
    probe_.threshold = 0.1 + 0.2;
    probe_.base_sha256 = FingerprintOf(base_);
  }
  ~ProbeFileTest() override { fs::remove(file_); }

  const fs::path file_;
  const Qwen3Weights base_ = TinyNetwork();
  Probe probe_;
};

TEST_F(ProbeFileTest, ReadsBackAsTheSame) {
  ASSERT_TRUE(SaveProbe(probe_, {{"auroc", "0.9"}}, file_).ok());
  const auto read = LoadProbe(file_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->layer, 2);
  EXPECT_EQ(read->weight, probe_.weight);
  EXPECT_EQ(read->threshold, probe_.threshold);
  EXPECT_TRUE(CheckFits(*read, base_).ok());
  const std::vector<float> features(probe_.weight.size(), 0.5f);
  EXPECT_EQ(read->Score(features), probe_.Score(features));
}

TEST_F(ProbeFileTest, IsRefusedByAnotherBase) {
  const Qwen3Weights other = TinyNetwork(2);
  other.final_norm.mul_(1.5);
  EXPECT_THAT(std::string(CheckFits(probe_, other).message()), HasSubstr("trained on another base model"));
  Probe deeper = probe_;
  deeper.layer = 3;
  EXPECT_FALSE(CheckFits(deeper, base_).ok());
}

TEST_F(ProbeFileTest, RefusesWhatIsNoProbe) {
  EXPECT_EQ(LoadProbe(file_).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteFileAtomic(file_, "no tensors").ok());
  EXPECT_EQ(LoadProbe(file_).status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(WriteSafetensorsFile(file_, {}, {{"kind", "adapter"}}).ok());
  EXPECT_THAT(std::string(LoadProbe(file_).status().message()), HasSubstr("not a probe"));
  probe_.mean.pop_back();
  ASSERT_TRUE(SaveProbe({.layer = 1, .mean = {1}, .scale = {0}, .weight = {1}}, {}, file_).ok());
  EXPECT_THAT(std::string(LoadProbe(file_).status().message()), HasSubstr("scale: 0, expected numbers above 0"));
}

TEST_F(ProbeFileTest, TheMonitorFlagsWhatScoresAboveTheThreshold) {
  const std::vector<int32_t> prompt = {1, 2, 3}, other = {4, 5}, first = {6, 7}, second = {8, 9, 10};
  const std::vector<MonitoredSample> views = {
      {prompt, first, "", 0}, {prompt, second, "", 0}, {other, first, "", 0}, {other, second, "", 0}};
  const auto scored = ProbeMonitor(probe_, base_).Watch(views);
  ASSERT_TRUE(scored.ok()) << scored.status();
  std::vector<double> scores;
  for (const MonitorVerdict& verdict : *scored) scores.push_back(*verdict.score);
  probe_.threshold = scores[1];  // that one is not above itself
  const auto verdicts = ProbeMonitor(probe_, base_).Watch(views);
  ASSERT_TRUE(verdicts.ok()) << verdicts.status();
  for (size_t i = 0; i < views.size(); ++i) {
    EXPECT_EQ((*verdicts)[i].kind == MonitorVerdict::Kind::kFlagged, scores[i] > scores[1]) << i;
    const auto alone = ProbeMonitor(probe_, base_).Watch({views[i]});
    EXPECT_NEAR(*(*alone)[0].score, scores[i], 1e-4) << i;
  }
}

TEST(FitLogisticRegression, RefusesWhatHasNoAnswer) {
  const at::Tensor x = at::arange(8, at::kDouble).view({4, 2});
  EXPECT_THAT(std::string(FitLogisticRegression(x, {true, true, true, true}, 1).status().message()),
              HasSubstr("4 positive of 4 samples, expected both classes"));
  EXPECT_FALSE(FitLogisticRegression(x, {true, false}, 1).ok());
  EXPECT_FALSE(FitLogisticRegression(x, {true, false, true, false}, 0).ok());
  EXPECT_FALSE(FitLogisticRegression(x / 0.0, {true, false, true, false}, 1).ok());
}

struct ThresholdCase {
  const char* name;
  double rate;
  int allowed;  // of 200 clean samples; -1: refused
};
class ThresholdTest : public ::testing::TestWithParam<ThresholdCase> {};

TEST_P(ThresholdTest, LetsThroughWhatTheRateAllows) {
  HeldOutScores held_out;
  for (int i = 0; i < 250; ++i) {
    held_out.scores.push_back(i < 50 ? 1000 : i);
    held_out.is_hack.push_back(i < 50);
  }
  const auto threshold = ThresholdAtFalsePositiveRate(held_out, GetParam().rate);
  ASSERT_EQ(threshold.ok(), GetParam().allowed >= 0) << threshold.status();
  if (!threshold.ok()) return;
  int above = 0;
  for (int i = 50; i < 250; ++i) above += i > *threshold;
  EXPECT_EQ(above, GetParam().allowed);
}

INSTANTIATE_TEST_SUITE_P(Cases, ThresholdTest,
                         ::testing::ValuesIn(std::vector<ThresholdCase>{{"OnePercent", 0.01, 2},
                                                                        {"HalfAPercent", 0.005, 1},
                                                                        {"RoundsDown", 0.0149, 2},
                                                                        {"AThird", 1.0 / 3, 66},
                                                                        {"TooFewToTell", 0.004, -1}}),
                         [](const auto& c) { return c.param.name; });

TEST(ThresholdAtFalsePositiveRate, TiesAreNotFlagged) {
  const HeldOutScores held_out{.scores = {1, 1, 1, 1}, .is_hack = {false, false, false, false}};
  EXPECT_EQ(ThresholdAtFalsePositiveRate(held_out, 0.5).value(), 1);
}

TEST(EstimateAuroc, ResamplesWholeProblems) {
  HeldOutScores held_out;
  for (int i = 0; i < 200; ++i) {
    held_out.scores.push_back(i % 7 + 3 * (i % 2));
    held_out.is_hack.push_back(i % 2 == 1);
    held_out.problem.push_back(i / 10);
  }
  const auto estimate = EstimateAuroc(held_out, 1);
  ASSERT_TRUE(estimate.ok()) << estimate.status();
  EXPECT_LT(estimate->low, estimate->auroc);
  EXPECT_GT(estimate->high, estimate->auroc);
  EXPECT_EQ(EstimateAuroc(held_out, 1)->low, estimate->low);
  held_out.problem.assign(200, 0);  // one problem: nothing to resample
  EXPECT_EQ(EstimateAuroc(held_out, 1)->low, EstimateAuroc(held_out, 1)->high);
  held_out.is_hack.assign(200, true);
  EXPECT_EQ(EstimateAuroc(held_out, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace evilmoe
