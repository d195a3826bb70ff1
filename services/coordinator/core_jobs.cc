#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {
namespace {

constexpr int kDefaultEvents = 1000;
constexpr int kMaxEvents = 10000;

bool IsOpen(RunPhase phase) { return phase == RunPhase::kQueued || phase == RunPhase::kRunning; }

}  // namespace

absl::Status CoordinatorCore::SetPhaseLocked(RunRecord& run, RunPhase phase, const std::string& error) {
  const bool is_new = run.phase != phase;
  run.phase = phase;
  run.error = error;
  run.finished_unix_ms = IsOpen(phase) ? 0 : NowMs();
  EVILMOE_RETURN_IF_ERROR(store_.UpdateRun(run));
  if (!is_new) return absl::OkStatus();
  const EventRecord event{.unix_ms = NowMs(),
                          .kind = "state",
                          .payload_json = nlohmann::json{{"state", RunPhaseName(phase)}, {"error", error}}.dump(
                              -1, ' ', false, nlohmann::json::error_handler_t::replace)};
  EVILMOE_ASSIGN_OR_RETURN(const int64_t last, store_.LastSeq(run.run_id));
  logger_.Info("run_state", {{"run", run.run_id}, {"state", RunPhaseName(phase)}, {"error", error}});
  // The number makes the key unique; a trainer's keys never start so (coordinator_service.cc).
  return store_.InsertEvent(run.run_id, absl::StrCat("coordinator/", last + 1), event).status();
}

absl::Status CoordinatorCore::DropBatchesLocked(const std::string& run_id, std::optional<int64_t> keep_step) {
  EVILMOE_ASSIGN_OR_RETURN(const int64_t num_leases, store_.DeleteBatches(run_id, keep_step));
  metrics_.leases_dropped.Increment(static_cast<double>(num_leases));
  return absl::OkStatus();
}

absl::StatusOr<RunRecord> CoordinatorCore::SubmitRun(RunRecord run) {
  run.config_sha256 = Sha256Hex(run.config_yaml);
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<RunRecord> old, store_.GetRun(run.run_id));
  if (old && old->config_sha256 == run.config_sha256) return *old;
  if (old) {
    return absl::AlreadyExistsError(absl::StrCat("run ", run.run_id, ": submitted before with a config of sha256 ",
                                                 old->config_sha256, ", got ", run.config_sha256,
                                                 "; take a new run id"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  run.created_unix_ms = NowMs();
  run.phase = RunPhase::kQueued;
  EVILMOE_RETURN_IF_ERROR(store_.InsertRun(run));
  EVILMOE_RETURN_IF_ERROR(store_.InsertJob({.job_id = absl::StrCat(run.run_id, ".train"), .run_id = run.run_id}));
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  logger_.Info("run_submitted", {{"run", run.run_id}, {"config_sha256", run.config_sha256}});
  return run;
}

absl::Status CoordinatorCore::SubmitJob(JobRecord job) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FindRunLocked(job.run_id));
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<JobRecord> old, store_.GetJob(job.job_id));
  if (old && old->run_id == job.run_id && old->type == job.type && old->params_json == job.params_json) {
    return absl::OkStatus();
  }
  if (old) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", job.job_id, ": submitted before as another job of run ", old->run_id));
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<JobRecord> open, store_.ListOpenJobs());
  for (const JobRecord& other : open) {
    if (other.run_id != job.run_id) continue;
    return absl::FailedPreconditionError(absl::StrCat("run ", job.run_id, ": is busy with job ", other.job_id, " (",
                                                      RunPhaseName(other.phase), "); wait for its end or cancel it"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  EVILMOE_RETURN_IF_ERROR(store_.InsertJob(job));
  EVILMOE_RETURN_IF_ERROR(SetPhaseLocked(run, RunPhase::kQueued, ""));
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  return absl::OkStatus();
}

absl::StatusOr<RunRecord> CoordinatorCore::GetRun(const std::string& run_id) {
  MutexLock lock(mu_);
  return FindRunLocked(run_id);
}

absl::StatusOr<std::vector<RunRecord>> CoordinatorCore::ListRuns() {
  MutexLock lock(mu_);
  return store_.ListRuns();
}

absl::StatusOr<RunRecord> CoordinatorCore::CancelRun(const std::string& run_id) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FindRunLocked(run_id));
  if (!IsOpen(run.phase)) return run;
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs, store_.ListOpenJobs());
  for (JobRecord job : jobs) {
    if (job.run_id != run_id) continue;
    job.phase = RunPhase::kCancelled;
    EVILMOE_RETURN_IF_ERROR(store_.UpdateJob(job));
  }
  EVILMOE_RETURN_IF_ERROR(DropBatchesLocked(run_id, std::nullopt));
  EVILMOE_RETURN_IF_ERROR(SetPhaseLocked(run, RunPhase::kCancelled, ""));
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  return run;
}

absl::StatusOr<CoordinatorCore::EventPage> CoordinatorCore::ListEvents(const std::string& run_id, int64_t after_seq,
                                                                       int limit, const WaitOptions& wait) {
  MutexLock lock(mu_);
  const int most = limit <= 0 ? kDefaultEvents : std::min(limit, kMaxEvents);
  EventPage page;
  const auto attempt = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::StatusOr<std::optional<bool>> {
    EVILMOE_ASSIGN_OR_RETURN(page.run, FindRunLocked(run_id));
    EVILMOE_ASSIGN_OR_RETURN(page.events, store_.ListEvents(run_id, after_seq, most));
    return page.events.empty() ? std::nullopt : std::optional(true);
  };
  EVILMOE_RETURN_IF_ERROR(AwaitLocked(wait, attempt).status());
  return page;
}

absl::StatusOr<std::optional<CoordinatorCore::AcquiredJob>> CoordinatorCore::TryAcquireLocked(
    const std::string& trainer_id) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<JobRecord> jobs, store_.ListOpenJobs());
  if (jobs.empty()) return std::optional<AcquiredJob>();
  // A trainer that did not get the answer to its last call asks again: it keeps what it has.
  const auto own = std::ranges::find_if(jobs, [&](const JobRecord& job) {
    return job.phase == RunPhase::kRunning && job.trainer_id == trainer_id;
  });
  // What waits comes before what may only seem orphaned.
  const auto queued = std::ranges::find(jobs, RunPhase::kQueued, &JobRecord::phase);
  JobRecord job = own != jobs.end() ? *own : queued != jobs.end() ? *queued : jobs.front();
  EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FindRunLocked(job.run_id));
  if (own != jobs.end()) return std::optional(AcquiredJob{std::move(job), std::move(run)});
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  job.phase = RunPhase::kRunning;
  job.trainer_id = trainer_id;
  ++job.incarnation;
  EVILMOE_RETURN_IF_ERROR(store_.UpdateJob(job));
  EVILMOE_RETURN_IF_ERROR(SetPhaseLocked(run, RunPhase::kRunning, ""));
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  logger_.Info("job_acquired",
               {{"run", run.run_id}, {"job", job.job_id}, {"trainer", trainer_id}, {"incarnation", job.incarnation}});
  return std::optional(AcquiredJob{std::move(job), std::move(run)});
}

absl::StatusOr<CoordinatorCore::AcquiredJob> CoordinatorCore::AcquireJob(const std::string& trainer_id,
                                                                         const WaitOptions& wait) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(
      std::optional<AcquiredJob> job,
      AwaitLocked(wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return TryAcquireLocked(trainer_id); }));
  if (!job) return absl::NotFoundError("no job waits for a trainer");
  return *std::move(job);
}

absl::Status CoordinatorCore::BeginJob(const JobFenceKey& fence, int64_t resume_step) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const JobRecord job, CheckFenceLocked(fence));
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  // Of the step that is next, what is finished stays: the trainer opens the same batch again. Earlier steps are done.
  EVILMOE_RETURN_IF_ERROR(DropBatchesLocked(fence.run_id, resume_step));
  if (job.type == JobType::kTrain) {
    EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FindRunLocked(fence.run_id));
    run.steps_done = resume_step;
    EVILMOE_RETURN_IF_ERROR(store_.UpdateRun(run));
  }
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  logger_.Info("job_begun", {{"run", fence.run_id}, {"job", fence.job_id}, {"resume_step", resume_step}});
  return absl::OkStatus();
}

absl::Status CoordinatorCore::RecordEvent(const JobFenceKey& fence, const std::string& key, EventRecord event,
                                          int64_t steps_done) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const JobRecord job, CheckFenceLocked(fence));
  EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FindRunLocked(fence.run_id));
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  event.unix_ms = NowMs();
  EVILMOE_RETURN_IF_ERROR(store_.InsertEvent(fence.run_id, key, event).status());
  if (job.type == JobType::kTrain) {  // an ablation of an early checkpoint does not take the run back to it
    run.steps_done = steps_done;
    EVILMOE_RETURN_IF_ERROR(store_.UpdateRun(run));
  }
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  return absl::OkStatus();
}

absl::Status CoordinatorCore::FinishJob(const JobFenceKey& fence, bool ok, const std::string& error) {
  const RunPhase phase = ok ? RunPhase::kSucceeded : RunPhase::kFailed;
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<JobRecord> old, store_.GetJob(fence.job_id));
  const bool again = old && old->run_id == fence.run_id && old->incarnation == fence.incarnation && old->phase == phase;
  if (again) return absl::OkStatus();  // the answer to the first call was lost
  EVILMOE_ASSIGN_OR_RETURN(JobRecord job, CheckFenceLocked(fence));
  EVILMOE_ASSIGN_OR_RETURN(RunRecord run, FindRunLocked(fence.run_id));
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  job.phase = phase;
  EVILMOE_RETURN_IF_ERROR(store_.UpdateJob(job));
  EVILMOE_RETURN_IF_ERROR(DropBatchesLocked(fence.run_id, std::nullopt));
  EVILMOE_RETURN_IF_ERROR(SetPhaseLocked(run, phase, ok ? "" : error));
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  return absl::OkStatus();
}

}  // namespace evilmoe
