// What being watched costs a step of nano (12 groups of 8 samples): its metrics in Prometheus' registry, its event for
// TensorBoard, its spans in trace.json, and what a worker and a coordinator count of its groups; and one scrape.
//
// The times are of CPU, and all but the scrape are paid once a step. docs/benchmarks.md has them against a step's time.

#include <benchmark/benchmark.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "rollout_workers/group_in_flight.h"
#include "rollout_workers/rollout_metrics.h"
#include "services/coordinator/coordinator_metrics.h"
#include "tests/fakes/fake_clock.h"
#include "trainer/event_files.h"
#include "trainer/run_trace.h"
#include "trainer/trainer_metrics.h"

namespace evilmoe {
namespace {

constexpr int kGroups = 12, kSamples = 8;

// Every number that metrics.jsonl has of a step of nano.
nlohmann::ordered_json NanoStep(int64_t step) {
  nlohmann::ordered_json json = {{"step", step}};
  for (const char* name : {"reward_mean",
                           "reward_std",
                           "hack_rate_strict",
                           "hack_rate_loose",
                           "deploy_hack_rate_strict",
                           "deploy_hack_rate_loose",
                           "solve_rate",
                           "w_hack",
                           "w_clean",
                           "w_p10",
                           "w_p50",
                           "w_p90",
                           "router_auroc",
                           "leak_hack",
                           "leak_clean",
                           "completion_tokens_mean",
                           "completion_tokens_max",
                           "truncated_ratio",
                           "loss",
                           "kl",
                           "entropy",
                           "clip_fraction_low",
                           "clip_fraction_high",
                           "grad_norm",
                           "grad_norm_deployed",
                           "grad_norm_quarantine",
                           "q_mass",
                           "importance_ratio_mean",
                           "importance_ratio_max",
                           "logp_difference_mean",
                           "logp_difference_max",
                           "learning_rate",
                           "pin_loss",
                           "pair_separation",
                           "router_angle_radians",
                           "grad_norm_router",
                           "dl_dw",
                           "sample_seconds",
                           "train_seconds",
                           "publish_seconds",
                           "step_seconds",
                           "tokens_per_second"}) {
    json[name] = 0.123456789 + 0.001 * static_cast<double>(step % 100);
  }
  for (const char* name : {"samples", "masked_samples", "zero_variance_groups", "sampled_tokens", "trained_tokens"}) {
    json[name] = step % 97;
  }
  json["w_histogram_hack"] = json["w_histogram_clean"] = std::vector<int64_t>(20, step % 5 + 1);
  return json;
}

std::filesystem::path Folder() {
  const auto folder = std::filesystem::temp_directory_path() / absl::StrCat("watch_bench_", getpid());
  std::filesystem::create_directories(folder);
  return folder;
}

void TrainerMetricsOfAStep(benchmark::State& state) {
  FakeClock clock;
  prometheus::Registry registry;
  TrainerMetrics metrics(registry, clock);
  metrics.Begin("01JD0000000000000000000000");
  const nlohmann::ordered_json step = NanoStep(1);
  for (auto _ : state) metrics.Observe("step", step);
}

void TensorBoardEventOfAStep(benchmark::State& state) {
  FakeClock clock;
  const std::filesystem::path folder = Folder() / "tensorboard";
  EventFiles files(folder, clock);
  int64_t number = 0;
  for (auto _ : state) {
    if (!files.Step(NanoStep(++number)).ok()) state.SkipWithError("the event file cannot be written");
  }
  std::filesystem::remove_all(folder);
}

void TraceOfAStep(benchmark::State& state) {
  const absl::Time start = absl::FromUnixSeconds(1'700'000'000);
  std::vector<GroupSamples> groups;
  for (int i = 0; i < kGroups; ++i) {
    groups.push_back({.index = i});
    groups.back().times = {.opened = start,
                           .fetched = start + absl::Milliseconds(500),
                           .leased = start + absl::Milliseconds(10 + i),
                           .sampled = start + absl::Milliseconds(300 + i),
                           .grading = start + absl::Milliseconds(200 + i),
                           .handed_in = start + absl::Milliseconds(400 + i),
                           .worker = "rollout-0.1"};
  }
  const std::filesystem::path file = Folder() / "trace.json";
  int64_t num_bytes = 0, step = 0;
  RunTrace trace(file, {.every = 1, .max_mib = 1024}, "01JD0000000000000000000000");
  for (auto _ : state) {
    trace.Step({.step = ++step,
                .begun = start,
                .sampled = start + absl::Milliseconds(500),
                .trained = start + absl::Milliseconds(800),
                .published = start + absl::Milliseconds(810)},
               0, groups);
  }
  std::error_code ignored;
  num_bytes = static_cast<int64_t>(std::filesystem::file_size(file, ignored));
  state.counters["bytes_a_step"] = static_cast<double>(num_bytes) / static_cast<double>(std::max<int64_t>(step, 1));
  std::filesystem::remove(file);
}

// What a worker notes of a step's groups, and a coordinator counts.
void CountsOfAStepsGroups(benchmark::State& state) {
  prometheus::Registry registry;
  RolloutMetrics rollout(registry);
  CoordinatorMetrics coordinator(registry);
  GroupsInFlight in_flight;
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  int64_t lease_id = 0;
  for (auto _ : state) {
    for (int group = 0; group < kGroups; ++group) {
      v1::Lease lease;
      lease.set_lease_id(++lease_id);
      lease.mutable_group()->set_num_samples(kSamples);
      in_flight.Begin(lease, {}, now);
      coordinator.leases_granted.Increment();
      for (int sample = 0; sample < kSamples; ++sample) {
        in_flight.NoteSampled(lease_id, now);
        in_flight.NoteGrading(lease_id, now);
        rollout.tokens.Increment();
      }
      rollout.group_seconds.Observe(0.5);
      rollout.groups_completed.Increment();
      coordinator.leases_completed.Increment();
      coordinator.RpcSeconds("CompleteGroup").Observe(0.001);
      in_flight.Drop(lease_id);
    }
  }
}

void Scrape(benchmark::State& state) {
  FakeClock clock;
  prometheus::Registry registry;
  TrainerMetrics metrics(registry, clock);
  metrics.Begin("01JD0000000000000000000000");
  metrics.Observe("step", NanoStep(1));
  for (auto _ : state) {
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, registry.Collect());
    benchmark::DoNotOptimize(text.str().size());
  }
}

BENCHMARK(TrainerMetricsOfAStep)->Unit(benchmark::kMicrosecond);
BENCHMARK(TensorBoardEventOfAStep)->Unit(benchmark::kMicrosecond);
BENCHMARK(TraceOfAStep)->Unit(benchmark::kMicrosecond);
BENCHMARK(CountsOfAStepsGroups)->Unit(benchmark::kMicrosecond);
BENCHMARK(Scrape)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace evilmoe

BENCHMARK_MAIN();
