#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <map>
#include <string>

#include "common/clock.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// The training metrics of the run that a trainer took last, fed with the payloads of its events, so that metrics.jsonl
// and Prometheus cannot disagree. `run` is the label of every one. Not thread-safe, but for scrapes of the registry.
class TrainerMetrics {
 public:
  // References must outlive it.
  TrainerMetrics(prometheus::Registry& registry, const Clock& clock) : registry_(registry), clock_(clock) {}

  // From here on `run_id` is observed, counters from 0; what is there of an earlier run goes.
  void Begin(const std::string& run_id);
  // Of the run that was begun:
  // kind and payload as ProgressSink::Record; kinds without metrics are ignored.
  void Observe(const std::string& kind, const nlohmann::ordered_json& payload);
  // `kind`: "checkpoint" | "evaluation" | "recovery" | "warning"; all but checkpoints are counted by Observe().
  void CountEvent(const std::string& kind);

 private:
  void ObserveStep(const nlohmann::ordered_json& step);
  void ObserveAblation(const nlohmann::ordered_json& table);
  void ObserveW(const nlohmann::ordered_json& step, const std::string& field, const char* w_class);
  void SetGauge(const std::string& name, const std::map<std::string, std::string>& labels,
                const nlohmann::ordered_json& value);
  void Count(const std::string& name, const std::map<std::string, std::string>& labels,
             const nlohmann::ordered_json& amount);

  // `family` goes with its run.
  template <typename Family>
  Family& OfRun(const std::string& name, Family& family);

  prometheus::Registry& registry_;
  const Clock& clock_;
  std::string run_id_;
  std::map<std::string, std::function<void()>> forget_;  // by family
};

}  // namespace evilmoe
