#pragma once

#include <vector>

#include "trainer/monitor.h"
#include "trainer/probe.h"

namespace evilmoe {

// Flags what a trained probe scores above its threshold. One forward pass of the base model through the probe's layers
// a step. Errors as ResponseMeans (trainer/probe_features.h).
class ProbeMonitor final : public Monitor {
 public:
  // `base` must outlive it and fit the probe (CheckFits).
  ProbeMonitor(Probe probe, const Qwen3Weights& base) : probe_(std::move(probe)), base_(base) {}
  absl::StatusOr<std::vector<MonitorVerdict>> Watch(const std::vector<MonitoredSample>& samples) override;

 private:
  const Probe probe_;
  const Qwen3Weights& base_;
};

}  // namespace evilmoe
