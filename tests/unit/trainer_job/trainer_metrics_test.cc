#include "trainer/trainer_metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/fake_clock.h"

namespace evilmoe {
namespace {

class TrainerMetricsTest : public ::testing::Test {
 protected:
  // Of counters and gauges, by "name{label=value}" without the run's label, which is checked.
  std::map<std::string, double> Values() const {
    std::map<std::string, double> values;
    for (const prometheus::MetricFamily& family : registry_.Collect()) {
      if (family.type == prometheus::MetricType::Histogram) continue;
      for (const prometheus::ClientMetric& metric : family.metric) {
        std::string name = family.name, run;
        for (const auto& label : metric.label) {
          if (label.name == "run")
            run = label.value;
          else
            absl::StrAppend(&name, "{", label.name, "=", label.value, "}");
        }
        EXPECT_EQ(run, run_) << name;
        values[name] = family.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
      }
    }
    return values;
  }
  void Begin(const std::string& run) {
    run_ = run;
    metrics_.Begin(run);
  }

  FakeClock clock_;
  prometheus::Registry registry_;
  TrainerMetrics metrics_{registry_, clock_};
  std::string run_;
};

TEST_F(TrainerMetricsTest, CountersAreThereBeforeTheyCount) {
  Begin("R");
  const std::map<std::string, double> values = Values();
  for (const char* name : {"evilmoe_train_events_total{kind=checkpoint}", "evilmoe_train_events_total{kind=evaluation}",
                           "evilmoe_train_samples_total", "evilmoe_train_masked_samples_total{reason=infrastructure}",
                           "evilmoe_train_bad_steps_total", "evilmoe_train_tokens_total{stage=train}"}) {
    ASSERT_TRUE(values.contains(name)) << name;
    EXPECT_EQ(values.at(name), 0) << name;
  }
}

TEST_F(TrainerMetricsTest, TheShareOfMaskedSamplesIsOfAllThatWereDrawn) {
  Begin("R");
  for (int step = 1; step <= 2; ++step) {
    metrics_.Observe("step", {{"step", step}, {"samples", 64}, {"masked_samples", 3}, {"monitor_unanswered", 1}});
  }
  const std::map<std::string, double> values = Values();
  EXPECT_EQ(values.at("evilmoe_train_samples_total"), 128);
  EXPECT_EQ(values.at("evilmoe_train_masked_samples_total{reason=infrastructure}"), 6);
  EXPECT_EQ(values.at("evilmoe_train_masked_samples_total{reason=monitor}"), 2);
}

TEST_F(TrainerMetricsTest, EventsAreCountedByKind) {
  Begin("R");
  metrics_.CountEvent("checkpoint");
  metrics_.Observe("step_ablation", {{"rows", nlohmann::ordered_json::array()}});
  metrics_.Observe("ablation", {{"rows", nlohmann::ordered_json::array()}});
  metrics_.Observe("warning", {{"message", "m"}});
  metrics_.Observe("evaluation", {{"done", 1}});  // a part of one
  const std::map<std::string, double> values = Values();
  EXPECT_EQ(values.at("evilmoe_train_events_total{kind=checkpoint}"), 1);
  EXPECT_EQ(values.at("evilmoe_train_events_total{kind=evaluation}"), 2);
  EXPECT_EQ(values.at("evilmoe_train_events_total{kind=warning}"), 1);
  EXPECT_EQ(values.at("evilmoe_train_events_total{kind=recovery}"), 0);
}

TEST_F(TrainerMetricsTest, ANewRunTakesThePlaceOfTheLast) {
  Begin("R");
  metrics_.Observe("step", {{"step", 7}, {"samples", 64}, {"loss", 0.5}});
  Begin("S");
  const std::map<std::string, double> values = Values();
  EXPECT_FALSE(values.contains("evilmoe_train_loss"));
  EXPECT_EQ(values.at("evilmoe_train_samples_total"), 0);
}

}  // namespace
}  // namespace evilmoe
