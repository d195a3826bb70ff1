#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "grader_sandbox/grader.h"

namespace evilmoe {

// `registry` must outlive it.
struct GraderMetrics final : GradingObserver {
  explicit GraderMetrics(prometheus::Registry& registry);

  void OnRun(const Verdict& verdict) override;
  void OnLostRun() override;
  void OnQueueDepth(int num_waiting) override;

  prometheus::Family<prometheus::Counter>& runs;        // evilmoe_grader_runs_total{verdict}
  prometheus::Histogram& run_seconds;                   // evilmoe_grader_run_seconds
  prometheus::Gauge& queue_depth;                       // evilmoe_grader_queue_depth: samples that wait for a slot
  prometheus::Family<prometheus::Counter>& violations;  // evilmoe_grader_violations_total{syscall}
  prometheus::Gauge& self_check_ok;                     // evilmoe_grader_self_check_ok: 1 = passed at the start
};

}  // namespace evilmoe
