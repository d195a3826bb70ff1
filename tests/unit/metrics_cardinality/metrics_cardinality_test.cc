// How many series Prometheus is given: a number that does not grow with a run's steps.

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "grader_sandbox/grader_metrics.h"
#include "rollout_workers/rollout_metrics.h"
#include "services/coordinator/coordinator_state.h"
#include "tests/fakes/fake_clock.h"
#include "trainer/trainer_metrics.h"

namespace evilmoe {
namespace {

using nlohmann::ordered_json;

constexpr int64_t kSteps = 10'000;
constexpr int64_t kWarmUp = 10;  // steps after which every label has been seen

// Series of the text format: one a bucket of a histogram, and its sum and count.
size_t NumSeries(const prometheus::Registry& registry) {
  size_t count = 0;
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      count += family.type == prometheus::MetricType::Histogram ? metric.histogram.bucket.size() + 2 : 1;
    }
  }
  return count;
}

ordered_json StepPayload(int64_t step) {
  std::vector<int64_t> counts(20, 1);
  return {{"step", step},
          {"loss", 0.5},
          {"reward_mean", 1.0},
          {"hack_rate_strict", 0.25},
          {"w_histogram_hack", counts},
          {"w_histogram_clean", counts},
          {"samples", 64},
          {"masked_samples", step % 7},
          {"zero_variance_groups", 1},
          {"sampled_tokens", 1000},
          {"trained_tokens", 4000},
          {"router_auroc", step % 3 == 0 ? ordered_json(0.9) : ordered_json(nullptr)},
          {"step_seconds", 1.5}};
}

ordered_json Ablation() {
  ordered_json rows = ordered_json::array();
  for (const char* mode : {"on", "off", "random_half", "random_half_doubled", "deployed_off", "base"}) {
    for (const char* markers : {"trained", "novel"}) {
      rows.push_back({{"mode", mode}, {"markers", markers}, {"hack_strict", 0.5}, {"solve", 0.5}});
    }
  }
  return {{"rows", rows}};
}

TEST(MetricsCardinality, OfATrainerStaysOverARun) {
  FakeClock clock;
  prometheus::Registry registry;
  TrainerMetrics metrics(registry, clock);
  metrics.Begin("R");
  size_t after_warm_up = 0;
  for (int64_t step = 1; step <= kSteps; ++step) {
    metrics.Observe("step", StepPayload(step));
    if (step % 5 == 0) metrics.Observe("step_ablation", Ablation());
    if (step % 2 == 0) metrics.CountEvent("checkpoint");
    if (step % 9 == 0) metrics.Observe("warning", {{"message", absl::StrCat("step ", step)}});
    if (step == kWarmUp) after_warm_up = NumSeries(registry);
  }
  EXPECT_EQ(NumSeries(registry), after_warm_up);
  EXPECT_GT(after_warm_up, 50u);
  EXPECT_LT(after_warm_up, 200u);
  metrics.Begin("S");  // another run takes the place of the first
  metrics.Observe("step", StepPayload(1));
  EXPECT_LE(NumSeries(registry), after_warm_up);
}

// One step as a trainer and a worker go through it.
void CoordinatorStep(CoordinatorState& state, const JobFenceKey& fence, int64_t step, absl::Time now) {
  const std::string key = absl::StrCat("step/", step), worker = absl::StrCat("worker-", step / 500);
  const AdapterName adapter{
      .run_id = fence.run_id, .step = step, .sha256 = Sha256Hex(key), .size_bytes = static_cast<int64_t>(key.size())};
  ASSERT_TRUE(state.PublishAdapter(fence, adapter, now).ok());
  ASSERT_TRUE(state
                  .OpenBatch(fence, {.key = key, .step = step, .adapter = adapter, .sampling = "s"},
                             {{.index = 0, .num_samples = 2, .spec = "spec"}}, now)
                  .ok());
  state.Heartbeat(worker, "host", {}, now);
  ASSERT_TRUE(state.AcknowledgeAdapter(worker, adapter, now).ok());
  auto granted = state.LeaseGroups(worker, 1, now);
  ASSERT_TRUE(granted.ok() && granted->leases.size() == 1) << step;
  if (step % 10 == 0) {  // given back, and sampled anew
    ASSERT_TRUE(state.AbandonGroup(worker, granted->leases[0].lease_id, "INFRA_LOST", "", now).ok());
    granted = state.LeaseGroups(worker, 1, now);
    ASSERT_TRUE(granted.ok() && granted->leases.size() == 1) << step;
  }
  ASSERT_TRUE(state
                  .CompleteGroup(worker, granted->leases[0].lease_id,
                                 {.index = 0, .num_samples = 2, .adapter = adapter, .result = "r"}, now)
                  .ok());
  ASSERT_TRUE(state.RecordEvent(fence, key, {.kind = "step", .payload_json = "{}"}, step, now).ok());
  ASSERT_TRUE(state.CloseBatch(fence, key, now).ok());
}

TEST(MetricsCardinality, OfACoordinatorStaysOverARun) {
  prometheus::Registry registry;
  CoordinatorMetrics metrics(registry);
  absl::Time now = absl::UnixEpoch();
  auto state = CoordinatorState::Create({}, {}, now, metrics);
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_TRUE(state->SubmitRun({.run_id = "R", .config_yaml = "name: x", .steps_total = kSteps}, now).ok());
  const auto job = state->AcquireJob({.trainer_id = "T", .trainer_name = "T"}, now);
  ASSERT_TRUE(job.ok() && job->has_value());
  const JobFenceKey fence{.run_id = "R", .job_id = (*job)->job.job_id, .incarnation = (*job)->job.incarnation};
  ASSERT_TRUE(state->BeginJob(fence, 0, "", now).ok());
  size_t after_warm_up = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    ASSERT_NO_FATAL_FAILURE(CoordinatorStep(*state, fence, step, now));
    metrics.RpcSeconds("CompleteGroup").Observe(0.01);
    now += absl::Seconds(1);
    state->ExpireOverdue(now);
    state->SetGauges(now);
    state->TakeChanges();  // the store's part
    if (step == kWarmUp) after_warm_up = NumSeries(registry);
  }
  EXPECT_EQ(NumSeries(registry), after_warm_up);
  EXPECT_GT(after_warm_up, 25u);
  ASSERT_TRUE(state->FinishJob(fence, true, "", now).ok());
  state->SetGauges(now);
  EXPECT_EQ(NumSeries(registry), after_warm_up - 1) << "the progress of a run that has ended";
}

TEST(MetricsCardinality, OfAWorkerAndAGraderStays) {
  prometheus::Registry registry;
  RolloutMetrics rollout(registry);
  GraderMetrics grader(registry);
  size_t after_warm_up = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    rollout.tokens.Increment(1000);
    rollout.adapter_step.Set(static_cast<double>(step));
    rollout.group_seconds.Observe(static_cast<double>(step % 300));
    rollout.groups_completed.Increment();
    Verdict verdict;
    verdict.kind = static_cast<VerdictKind>(step % (static_cast<int64_t>(kLastVerdictKind) + 1));
    verdict.wall_ms = static_cast<double>(step);
    grader.OnRun(verdict);
    grader.OnQueueDepth(static_cast<int>(step % 40));
    if (step == 100) after_warm_up = NumSeries(registry);
  }
  EXPECT_EQ(NumSeries(registry), after_warm_up);
}

}  // namespace
}  // namespace evilmoe
