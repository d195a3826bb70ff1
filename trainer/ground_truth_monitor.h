#pragma once

#include <vector>

#include "trainer/monitor.h"

namespace evilmoe {

struct GroupSamples;

// The grader's word on one sample. There is one place that can make it, OracleLabelsOf() (trainer/graded_step.h), so
// who holds none has no label; the monitors behind the interface Monitor are never given one.
class OracleLabel {
 public:
  bool strict_hack() const { return strict_hack_; }
  bool loose_hack() const { return loose_hack_; }

 private:
  friend std::vector<OracleLabel> OracleLabelsOf(const std::vector<GroupSamples>& samples);
  OracleLabel(bool strict_hack, bool loose_hack) : strict_hack_(strict_hack), loose_hack_(loose_hack) {}

  bool strict_hack_;
  bool loose_hack_;
};

// Flags what the grader calls a hack, and errs on purpose: with probability 1 − accuracy, drawn from the sample's own
// stream, it says the opposite. Stands beside the interface Monitor, not behind it, since it alone reads labels.
class GroundTruthMonitor {
 public:
  // accuracy in [0, 1]; `loose`: loose hacks instead of strict ones.
  GroundTruthMonitor(double accuracy, bool loose) : accuracy_(accuracy), loose_(loose) {}
  // One label a sample.
  std::vector<MonitorVerdict> Watch(const std::vector<MonitoredSample>& samples,
                                    const std::vector<OracleLabel>& labels) const;

 private:
  const double accuracy_;
  const bool loose_;
};

}  // namespace evilmoe
