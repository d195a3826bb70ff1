#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>

#include "common/clock.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// A run's training metrics (names: interfaces.md §3), fed with the payloads of its events, so that metrics.jsonl and
// Prometheus cannot disagree. `run` is the label of every one. Thread-safe as prometheus-cpp is.
class TrainerMetrics {
 public:
  // References must outlive it.
  TrainerMetrics(prometheus::Registry& registry, const std::string& run_id, const Clock& clock);

  // kind and payload as ProgressSink::Record; kinds without metrics are ignored.
  void Observe(const std::string& kind, const nlohmann::ordered_json& payload);

 private:
  void ObserveStep(const nlohmann::ordered_json& step);
  void ObserveAblation(const nlohmann::ordered_json& table);
  void ObserveW(const nlohmann::ordered_json& step, const std::string& field, prometheus::Histogram& histogram);
  void SetGauge(const std::string& name, const std::map<std::string, std::string>& labels,
                const nlohmann::ordered_json& value);
  void Count(const std::string& name, const std::map<std::string, std::string>& labels,
             const nlohmann::ordered_json& amount);

  prometheus::Registry& registry_;
  const std::string run_id_;
  const Clock& clock_;
  prometheus::Histogram& w_hack_;
  prometheus::Histogram& w_clean_;
};

}  // namespace evilmoe
