#include "services/coordinator/run_summary.h"

namespace evilmoe {

RunSummary SummaryOf(const RunRecord& run) {
  return {.run_id = run.run_id,
          .name = run.name,
          .arm = run.arm,
          .state = RunPhaseName(run.phase),
          .error = run.error,
          .steps_total = run.steps_total,
          .steps_done = run.steps_done,
          .created_unix_ms = run.created_unix_ms,
          .finished_unix_ms = run.finished_unix_ms,
          .last_seq = run.last_seq,
          .directory = run.directory,
          .config_sha256 = run.config_sha256,
          .priority = run.priority,
          .slots = run.slots,
          .sweep = run.sweep,
          .adapter_step = run.adapter.sha256.empty() ? -1 : run.adapter.step,
          .adapter_sha256 = run.adapter.sha256,
          .model_fingerprint = run.model_fingerprint};
}

}  // namespace evilmoe
