#include "trainer/monitoring.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "trainer/graded_step.h"
#include "trainer/judge_monitor.h"
#include "trainer/probe_monitor.h"

namespace evilmoe {
namespace {

absl::Status CheckAnySaid(const std::vector<MonitorVerdict>& said) {
  const auto silent = [](const MonitorVerdict& v) { return v.kind == MonitorVerdict::Kind::kNone; };
  if (said.empty() || !std::all_of(said.begin(), said.end(), silent)) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("monitor: no verdict on any of ", said.size(), " samples; the first: ", said[0].problem));
}

}  // namespace

absl::StatusOr<Monitoring> Monitoring::Make(const RunConfig& config, const TrainingModel& model,
                                            const std::filesystem::path& run_directory) {
  Monitoring monitoring(config.seed);
  const MonitorConfig& monitor = config.monitor;
  if (monitor.kind == "none") return monitoring;
  if (monitor.by == "ground_truth") {
    monitoring.ground_truth_.emplace(monitor.accuracy, monitor.label == "loose");
  } else if (monitor.by == "probe") {
    EVILMOE_ASSIGN_OR_RETURN(Probe probe, LoadProbe(monitor.probe));
    EVILMOE_RETURN_IF_ERROR(Annotate(CheckFits(probe, model.base()), monitor.probe.string()));
    monitoring.monitor_ = std::make_unique<ProbeMonitor>(std::move(probe), model.base());
  } else {
    EVILMOE_ASSIGN_OR_RETURN(monitoring.monitor_,
                             JudgeMonitor::Make(monitor.judge, run_directory / "judge_cache", model.tokenizer()));
  }
  return monitoring;
}

std::vector<MonitoredSample> Monitoring::Views(const BatchRequest& batch,
                                               const std::vector<GroupSamples>& samples) const {
  const uint64_t step_seed = StreamSeed(seed_, "monitor", static_cast<uint64_t>(batch.step));
  std::vector<MonitoredSample> views;
  for (size_t g = 0; g < samples.size(); ++g) {
    for (size_t i = 0; i < samples[g].samples.size(); ++i) {
      const Sample& sample = samples[g].samples[i];
      if (!sample.failure.empty()) continue;
      views.push_back({.prompt_ids = batch.groups[g].prompt_ids,
                       .response_ids = sample.ids,
                       .response = sample.text,
                       .stream_seed = CounterBits(step_seed, SamplePlace(batch.groups[g].index, i))});
    }
  }
  return views;
}

absl::StatusOr<std::vector<MonitorVerdict>> Monitoring::Watch(const BatchRequest& batch,
                                                              const std::vector<GroupSamples>& samples) {
  std::vector<MonitorVerdict> all;
  if (!ground_truth_ && monitor_ == nullptr) return all;
  const std::vector<MonitoredSample> views = Views(batch, samples);
  std::vector<MonitorVerdict> said;
  if (ground_truth_) {
    said = ground_truth_->Watch(views, OracleLabelsOf(samples));
  } else {
    EVILMOE_ASSIGN_OR_RETURN(said, monitor_->Watch(views));
  }
  EVILMOE_CHECK(said.size() == views.size());
  EVILMOE_RETURN_IF_ERROR(CheckAnySaid(said));
  size_t next = 0;
  for (const GroupSamples& group : samples) {
    for (const Sample& sample : group.samples) {
      all.push_back(sample.failure.empty() ? std::move(said[next++]) : MonitorVerdict{});
    }
  }
  return all;
}

std::map<std::string, int64_t> Monitoring::LastCounts() const {
  return monitor_ == nullptr ? std::map<std::string, int64_t>{} : monitor_->LastCounts();
}

}  // namespace evilmoe
