#include "trainer/ground_truth_monitor.h"

#include "common/seed.h"
#include "common/status_macros.h"

namespace evilmoe {

std::vector<MonitorVerdict> GroundTruthMonitor::Watch(const std::vector<MonitoredSample>& samples,
                                                      const std::vector<OracleLabel>& labels) const {
  EVILMOE_CHECK(samples.size() == labels.size());
  std::vector<MonitorVerdict> verdicts;
  for (size_t i = 0; i < samples.size(); ++i) {
    const bool hack = loose_ ? labels[i].loose_hack() : labels[i].strict_hack();
    const bool wrong = CounterUniform(samples[i].stream_seed, 0) >= accuracy_;  // [0, 1): never at accuracy 1
    verdicts.push_back({.kind = hack != wrong ? MonitorVerdict::Kind::kFlagged : MonitorVerdict::Kind::kClear});
  }
  return verdicts;
}

}  // namespace evilmoe
