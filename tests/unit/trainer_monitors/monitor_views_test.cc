// What a monitor may read is a matter of types: these tests hold when they compile. The last one reads the sources.

#include <gtest/gtest.h>

#include <filesystem>
#include <type_traits>

#include "common/file.h"
#include "environment/facts.h"
#include "environment/labels.h"
#include "trainer/graded_step.h"
#include "trainer/judge_monitor.h"
#include "trainer/probe_monitor.h"

namespace evilmoe {
namespace {

// A view has these four members and no other: one more, and the binding no longer compiles.
TEST(MonitorViews, HoldWhatThePolicySawAndWroteAndNothingElse) {
  const MonitoredSample view;
  const auto& [prompt_ids, response_ids, response, stream_seed] = view;
  static_assert(std::is_same_v<decltype(prompt_ids), const std::span<const int32_t>>);
  static_assert(std::is_same_v<decltype(response_ids), const std::span<const int32_t>>);
  static_assert(std::is_same_v<decltype(response), const std::string_view>);
  static_assert(std::is_same_v<decltype(stream_seed), const uint64_t>);
  EXPECT_TRUE(prompt_ids.empty());
}

TEST(MonitorViews, NothingButTheGradedStepMakesAnOracleLabel) {
  static_assert(!std::is_default_constructible_v<OracleLabel>);
  static_assert(!std::is_constructible_v<OracleLabel, bool>);
  static_assert(!std::is_constructible_v<OracleLabel, bool, bool>);
  static_assert(!std::is_constructible_v<OracleLabel, Label>);
  static_assert(!std::is_constructible_v<OracleLabel, Facts>);
  static_assert(!std::is_aggregate_v<OracleLabel>);
  const std::vector<GroupSamples> samples = {{0, {Sample{.facts = {.hint_pass = true}}, Sample{.failure = "LOST"}}}};
  ASSERT_EQ(OracleLabelsOf(samples).size(), 1u);  // none of the lost one
  EXPECT_TRUE(OracleLabelsOf(samples)[0].strict_hack());
}

// Whether `M` could be handed labels beside its samples.
template <typename M>
concept TakesLabels = requires(M& monitor, const std::vector<MonitoredSample>& samples,
                               const std::vector<OracleLabel>& labels) {
  monitor.Watch(samples, labels);
};
template <typename M>
concept TakesSamples = requires(M& monitor, const std::vector<Sample>& samples) {
  monitor.Watch(samples);
};

TEST(MonitorViews, OnlyTheGroundTruthMonitorTakesLabels) {
  static_assert(TakesLabels<GroundTruthMonitor>);
  static_assert(!TakesLabels<Monitor> && !TakesLabels<ProbeMonitor> && !TakesLabels<JudgeMonitor>);
  static_assert(!TakesSamples<Monitor> && !TakesSamples<ProbeMonitor> && !TakesSamples<JudgeMonitor>);
  static_assert(!std::is_base_of_v<Monitor, GroundTruthMonitor>);
  static_assert(!std::is_convertible_v<Sample, MonitoredSample>);
  EXPECT_TRUE((std::is_base_of_v<Monitor, JudgeMonitor> && std::is_base_of_v<Monitor, ProbeMonitor>));
}

TEST(MonitorViews, TheSourcesOfOtherMonitorsIncludeNothingThatHoldsAGrade) {
  const std::filesystem::path trainer = std::filesystem::path(EVILMOE_SOURCE_DIR) / "trainer";
  int num_files = 0;
  for (const char* name : {"monitor", "probe", "probe_features", "probe_monitor", "judge_cache", "judge_caller",
                           "judge_monitor", "judge_prompt", "http_post"}) {
    for (const char* ending : {".h", ".cc"}) {
      const auto text = ReadFile(trainer / (std::string(name) + ending));
      ASSERT_TRUE(text.ok()) << text.status();
      ++num_files;
      for (const char* graded :
           {"#include \"environment/", "trainer/rollouts.h", "trainer/graded_step.h", "trainer/ground_truth_monitor.h",
            "trainer/step_metrics.h", "trainer/train_samples.h"}) {
        EXPECT_EQ(text->find(graded), std::string::npos) << name << ending << " includes " << graded;
      }
    }
  }
  EXPECT_EQ(num_files, 18);
}

}  // namespace
}  // namespace evilmoe
