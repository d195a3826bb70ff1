#include "services/coordinator/coordinator_core.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {

absl::StatusOr<std::unique_ptr<CoordinatorCore>> CoordinatorCore::Create(Store store, Options options,
                                                                         const Clock& clock, Logger& logger,
                                                                         CoordinatorMetrics& metrics) {
  EVILMOE_RETURN_IF_ERROR(store.ExtendAllLeases(absl::ToUnixMillis(clock.Now() + options.lease_timeout)));
  return std::unique_ptr<CoordinatorCore>(new CoordinatorCore(std::move(store), options, clock, logger, metrics));
}

absl::StatusOr<RunRecord> CoordinatorCore::FindRunLocked(const std::string& run_id) {
  EVILMOE_ASSIGN_OR_RETURN(std::optional<RunRecord> run, store_.GetRun(run_id));
  if (!run) return absl::NotFoundError(absl::StrCat("run ", run_id, ": not found; `evilmoe-ctl list` shows them"));
  return *std::move(run);
}

absl::StatusOr<JobRecord> CoordinatorCore::CheckFenceLocked(const JobFenceKey& fence) {
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<JobRecord> job, store_.GetJob(fence.job_id));
  if (!job || job->run_id != fence.run_id) {
    return absl::AbortedError(absl::StrCat("job ", fence.job_id, ": run ", fence.run_id, " has no such job"));
  }
  if (job->incarnation != fence.incarnation) {
    return absl::AbortedError(absl::StrCat("job ", fence.job_id, ": incarnation ", fence.incarnation,
                                           " is stale, trainer ", job->trainer_id, " has it as incarnation ",
                                           job->incarnation));
  }
  if (job->phase != RunPhase::kRunning) {
    return absl::AbortedError(absl::StrCat("job ", fence.job_id, ": has ended: ", RunPhaseName(job->phase)));
  }
  return *job;
}

absl::Status CoordinatorCore::UpdateGauges() {
  MutexLock lock(mu_);
  for (const RunPhase phase : {RunPhase::kQueued, RunPhase::kRunning, RunPhase::kSucceeded, RunPhase::kFailed,
                               RunPhase::kCancelled}) {
    EVILMOE_ASSIGN_OR_RETURN(const int64_t count, store_.CountRuns(phase));
    metrics_.runs.Add({{"state", RunPhaseName(phase)}}).Set(static_cast<double>(count));
  }
  EVILMOE_ASSIGN_OR_RETURN(const int64_t num_leases, store_.CountLeases());
  metrics_.leases_open.Set(static_cast<double>(num_leases));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs, store_.ListOpenJobs());
  metrics_.trainers.Set(static_cast<double>(
      std::ranges::count_if(jobs, [](const JobRecord& job) { return job.phase == RunPhase::kRunning; })));
  metrics_.rollout_workers.Set(workers_.NumSeenSince(clock_.Now() - options_.lease_timeout));
  return absl::OkStatus();
}

void CoordinatorCore::ChangedLocked() {
  ++num_changes_;
  mu_.NotifyAll();
}

void CoordinatorCore::Stop() {
  MutexLock lock(mu_);
  stopping_ = true;
  ChangedLocked();
}

}  // namespace evilmoe
