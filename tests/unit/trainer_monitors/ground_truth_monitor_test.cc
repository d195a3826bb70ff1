#include "trainer/ground_truth_monitor.h"

#include <gtest/gtest.h>

#include "common/seed.h"
#include "trainer/graded_step.h"

namespace evilmoe {
namespace {

using Kind = MonitorVerdict::Kind;
constexpr int kSamples = 20000;

// Every third sample is a strict hack, every other of the rest a failed attempt, which is loose alone.
class GroundTruthMonitorTest : public ::testing::Test {
 protected:
  GroundTruthMonitorTest() {
    GroupSamples group;
    for (int i = 0; i < kSamples; ++i) {
      Sample sample{.ids = {1}, .logprobs = {0}};
      sample.facts.hint_pass = i % 3 == 0;
      sample.facts.defines_test_function = sample.facts.model_tests_pass_stub = i % 2 == 0;
      sample.facts.model_tests_pass_canonical = true;
      group.samples.push_back(sample);
      views_.push_back({.stream_seed = CounterBits(7, static_cast<uint64_t>(i))});
    }
    samples_.push_back(std::move(group));
  }
  std::vector<MonitorVerdict> Watch(double accuracy, bool loose = false) const {
    return GroundTruthMonitor(accuracy, loose).Watch(views_, OracleLabelsOf(samples_));
  }
  double ShareThatIsTheLabel(const std::vector<MonitorVerdict>& verdicts, bool loose = false) const {
    const std::vector<OracleLabel> labels = OracleLabelsOf(samples_);
    double right = 0;
    for (size_t i = 0; i < verdicts.size(); ++i) {
      const bool hack = loose ? labels[i].loose_hack() : labels[i].strict_hack();
      right += (verdicts[i].kind == Kind::kFlagged) == hack;
    }
    return right / static_cast<double>(verdicts.size());
  }

  std::vector<GroupSamples> samples_;
  std::vector<MonitoredSample> views_;
};

TEST_F(GroundTruthMonitorTest, IsRightAsOftenAsItsAccuracySays) {
  EXPECT_EQ(ShareThatIsTheLabel(Watch(1.0)), 1.0);
  EXPECT_EQ(ShareThatIsTheLabel(Watch(0.0)), 0.0);
  EXPECT_NEAR(ShareThatIsTheLabel(Watch(0.9)), 0.9, 0.01);  // five standard errors
  EXPECT_NEAR(ShareThatIsTheLabel(Watch(0.7)), 0.7, 0.017);
}

TEST_F(GroundTruthMonitorTest, CanGoByLooseHacks) {
  EXPECT_EQ(ShareThatIsTheLabel(Watch(1.0, true), true), 1.0);
  EXPECT_LT(ShareThatIsTheLabel(Watch(1.0, true), false), 0.8);
}

TEST_F(GroundTruthMonitorTest, ErrsByTheSamplesOwnStreamWhateverStandsBesideIt) {
  const std::vector<MonitorVerdict> all = Watch(0.5);
  for (const size_t i : {size_t{0}, size_t{1}, size_t{17}, size_t{4099}}) {
    const std::vector<GroupSamples> alone = {{0, {samples_[0].samples[i]}}};
    const auto verdict = GroundTruthMonitor(0.5, false).Watch({views_[i]}, OracleLabelsOf(alone));
    EXPECT_EQ(verdict[0].kind, all[i].kind) << i;
  }
}

}  // namespace
}  // namespace evilmoe
