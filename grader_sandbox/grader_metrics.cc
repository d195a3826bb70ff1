#include "grader_sandbox/grader_metrics.h"

#include <string>

namespace evilmoe {

GraderMetrics::GraderMetrics(prometheus::Registry& registry)
    : runs(prometheus::BuildCounter().Name("evilmoe_grader_runs_total").Help("Runs by how they ended.").Register(registry)),
      run_seconds(prometheus::BuildHistogram()
                      .Name("evilmoe_grader_run_seconds")
                      .Help("Wall time of a run.")
                      .Register(registry)
                      .Add({}, prometheus::Histogram::BucketBoundaries{0.001, 0.002, 0.003, 0.005, 0.01, 0.03, 0.1, 0.3,
                                                                       1, 3, 10, 30})),
      queue_depth(prometheus::BuildGauge()
                      .Name("evilmoe_grader_queue_depth")
                      .Help("Samples that wait for a slot.")
                      .Register(registry)
                      .Add({})),
      violations(prometheus::BuildCounter()
                     .Name("evilmoe_grader_violations_total")
                     .Help("Runs killed at a system call that only an attack makes.")
                     .Register(registry)),
      self_check_ok(prometheus::BuildGauge()
                        .Name("evilmoe_grader_self_check_ok")
                        .Help("1 when the hostile self-check passed.")
                        .Register(registry)
                        .Add({})) {}

void GraderMetrics::OnRun(const Verdict& verdict) {
  runs.Add({{"verdict", std::string(VerdictName(verdict.kind))}}).Increment();
  run_seconds.Observe(verdict.wall_ms / 1e3);
  if (verdict.kind == VerdictKind::kSandboxViolation) {
    violations.Add({{"syscall", verdict.syscall.empty() ? "unknown" : verdict.syscall}}).Increment();
  }
}

void GraderMetrics::OnLostRun() { runs.Add({{"verdict", "INTERNAL_ERROR"}}).Increment(); }

void GraderMetrics::OnQueueDepth(int num_waiting) { queue_depth.Set(num_waiting); }

}  // namespace evilmoe
