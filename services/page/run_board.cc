#include "services/page/run_board.h"

#include "common/status_macros.h"

namespace evilmoe {
namespace {

bool LooksTheSame(const RunSummary& a, const RunSummary& b) {
  return a.state == b.state && a.steps_done == b.steps_done && a.last_seq == b.last_seq && a.error == b.error &&
         a.adapter_step == b.adapter_step && a.finished_unix_ms == b.finished_unix_ms;
}

}  // namespace

absl::Status RunBoard::RefreshLocked() {
  const absl::Time now = clock_.Now();
  if (now - refreshed_ < kInterval) return refreshed_status_;
  // Under the lock: whoever waits for it would ask the same.
  absl::StatusOr<std::vector<RunSummary>> runs = source_.List();
  refreshed_ = clock_.Now();  // a source that failed took its time: who waited gets the same answer
  refreshed_status_ = runs.status();
  EVILMOE_RETURN_IF_ERROR(refreshed_status_);
  ++version_;
  for (RunSummary& run : *runs) {
    Entry& entry = runs_[run.run_id];
    if (entry.version != 0 && LooksTheSame(entry.run, run)) continue;
    entry = {std::move(run), version_};
  }
  return absl::OkStatus();
}

absl::StatusOr<RunBoard::Changes> RunBoard::Since(int64_t version) {
  MutexLock lock(mu_);
  EVILMOE_RETURN_IF_ERROR(RefreshLocked());
  Changes changes{.version = version_};
  for (const auto& [id, entry] : runs_) {
    if (entry.version > version) changes.runs.push_back(entry.run);
  }
  return changes;
}

}  // namespace evilmoe
