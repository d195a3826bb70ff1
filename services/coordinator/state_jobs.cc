#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "services/coordinator/coordinator_state.h"

namespace evilmoe {
namespace {

absl::Status TooMany(const std::string& what, size_t most, const char* then) {
  return absl::ResourceExhaustedError(absl::StrCat(what, ": there are ", most, ", expected fewer; ", then));
}

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

bool CoordinatorState::AddEvent(Run& run, const std::string& key, EventRecord event) {
  if (!run.event_keys.insert(key).second) return false;
  event.seq = ++run.record.last_seq;
  run.progress = absl::FromUnixMillis(event.unix_ms);
  changes_.push_back(PutEvent{run.record.run_id, key, std::move(event)});
  changed_.runs.insert(run.record.run_id);
  return true;
}

void CoordinatorState::SetPhase(Run& run, Job& job, RunPhase phase, const std::string& error, absl::Time now) {
  const bool is_new = run.record.phase != phase;
  job.record.phase = phase;
  run.record.phase = phase;
  run.record.error = error;
  run.record.finished_unix_ms = HasEnded(phase) ? absl::ToUnixMillis(now) : 0;
  changes_.push_back(PutJob{job.record});
  changes_.push_back(PutRun{run.record});
  changed_.runs.insert(run.record.run_id);
  if (is_new) {
    // The number makes the key unique; a trainer's keys never start so (coordinator_translation.cc).
    AddEvent(run, absl::StrCat("coordinator/", run.record.last_seq + 1),
             {.unix_ms = absl::ToUnixMillis(now),
              .kind = "state",
              .payload_json = Dump({{"state", RunPhaseName(phase)}, {"error", error}})});
  }
  if (!HasEnded(phase)) {
    open_runs_.insert(run.record.run_id);
  } else {
    open_runs_.erase(run.record.run_id);
    run.adapters.clear();
  }
  // Freed slots let another job begin.
  if (!IsHeld(phase)) changed_.jobs = true;
}

void CoordinatorState::AddJob(Run& run, JobRecord job, absl::Time now) {
  job.order = ++last_job_order_;
  job.phase = RunPhase::kQueued;
  run.jobs.push_back(job.job_id);
  changes_.push_back(PutJob{job});
  const std::string job_id = job.job_id;
  jobs_[job_id] = {.record = std::move(job), .heard = now};
  open_runs_.insert(run.record.run_id);
  changed_.jobs = true;
}

absl::StatusOr<RunRecord> CoordinatorState::SubmitRun(RunRecord run, absl::Time now) {
  run.config_sha256 = Sha256Hex(run.config_yaml);
  if (const auto old = runs_.find(run.run_id); old != runs_.end()) {
    if (old->second.record.config_sha256 == run.config_sha256) return old->second.record;
    return absl::AlreadyExistsError(absl::StrCat("run ", run.run_id, ": submitted before with a config of sha256 ",
                                                 old->second.record.config_sha256, ", got ", run.config_sha256,
                                                 "; take a new run id"));
  }
  const std::string job_id = absl::StrCat(run.run_id, ".train");
  if (const auto taken = jobs_.find(job_id); taken != jobs_.end()) {
    return absl::AlreadyExistsError(absl::StrCat("run ", run.run_id, ": its job ", job_id, " is one of run ",
                                                 taken->second.record.run_id, "; take a new run id"));
  }
  const auto same_place = [&](const auto& entry) { return entry.second.record.directory == run.directory; };
  if (const auto other = std::ranges::find_if(runs_, same_place); !run.directory.empty() && other != runs_.end()) {
    return absl::AlreadyExistsError(
        absl::StrCat("directory: got ", run.directory, ", which is run ", other->first, "'s, expected one of its own"));
  }
  if (open_runs_.size() >= kMaxOpenRuns)
    return TooMany("runs that have not ended", kMaxOpenRuns, "cancel some, or wait");
  run.created_unix_ms = absl::ToUnixMillis(now);
  run.phase = RunPhase::kQueued;
  Run& added = runs_[run.run_id];
  added.record = std::move(run);
  changes_.push_back(PutRun{added.record});
  changed_.runs.insert(added.record.run_id);
  AddJob(added, {.job_id = job_id, .run_id = added.record.run_id}, now);
  return added.record;
}

absl::Status CoordinatorState::SubmitJob(JobRecord job, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(Run* const run, FindRun(job.run_id));
  if (const auto old = jobs_.find(job.job_id); old != jobs_.end()) {
    const JobRecord& before = old->second.record;
    const bool same = before.run_id == job.run_id && before.type == job.type && before.params_json == job.params_json;
    if (same) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("job ", job.job_id, ": submitted before as another job of run ", before.run_id));
  }
  if (!HasEnded(run->record.phase)) {
    return absl::FailedPreconditionError(absl::StrCat("run ", job.run_id, ": is busy with job ", run->jobs.back(), " (",
                                                      RunPhaseName(run->record.phase),
                                                      "); wait for its end or cancel it"));
  }
  if (run->jobs.size() >= kMaxJobs)
    return TooMany(absl::StrCat("jobs of run ", job.run_id), kMaxJobs, "take a new run");
  if (open_runs_.size() >= kMaxOpenRuns)
    return TooMany("runs that have not ended", kMaxOpenRuns, "cancel some, or wait");
  AddJob(*run, std::move(job), now);
  SetPhase(*run, LastJob(*run), RunPhase::kQueued, "", now);
  return absl::OkStatus();
}

absl::StatusOr<RunRecord> CoordinatorState::GetRun(const std::string& run_id) const {
  EVILMOE_ASSIGN_OR_RETURN(const Run* const run, FindRun(run_id));
  return run->record;
}

std::vector<RunRecord> CoordinatorState::ListRuns(const std::string& sweep) const {
  std::vector<RunRecord> list;
  for (const auto& [run_id, run] : runs_) {
    if (sweep.empty() || run.record.sweep == sweep) list.push_back(run.record);
  }
  std::ranges::stable_sort(list, {}, &RunRecord::created_unix_ms);
  return list;
}

absl::StatusOr<RunRecord> CoordinatorState::CancelRun(const std::string& run_id, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(Run* const run, FindRun(run_id));
  if (HasEnded(run->record.phase)) return run->record;
  DropBatches(*run, std::nullopt);
  SetPhase(*run, LastJob(*run), RunPhase::kCancelled, "", now);
  return run->record;
}

absl::StatusOr<RunRecord> CoordinatorState::PauseRun(const std::string& run_id, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(Run* const run, FindRun(run_id));
  const RunPhase phase = run->record.phase;
  if (HasEnded(phase)) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, ": has ended (", RunPhaseName(phase), "), expected one that runs or waits"));
  }
  if (phase == RunPhase::kQueued) SetPhase(*run, LastJob(*run), RunPhase::kPaused, "", now);
  if (phase == RunPhase::kRunning) SetPhase(*run, LastJob(*run), RunPhase::kPausing, "", now);
  return run->record;
}

absl::StatusOr<RunRecord> CoordinatorState::ResumeRun(const std::string& run_id, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(Run* const run, FindRun(run_id));
  const RunPhase phase = run->record.phase;
  if (HasEnded(phase)) {
    return absl::FailedPreconditionError(absl::StrCat("run ", run_id, ": has ended (", RunPhaseName(phase),
                                                      "), expected a paused one; `evilmoe-ctl retry` starts a failed "
                                                      "run again"));
  }
  if (phase == RunPhase::kPaused) {
    LastJob(*run).after_pause = true;
    SetPhase(*run, LastJob(*run), RunPhase::kQueued, "", now);
  }
  if (phase == RunPhase::kPausing) SetPhase(*run, LastJob(*run), RunPhase::kRunning, "", now);
  return run->record;
}

absl::StatusOr<RunRecord> CoordinatorState::RetryRun(const std::string& run_id, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(Run* const run, FindRun(run_id));
  const RunPhase phase = run->record.phase;
  Job& job = LastJob(*run);
  const bool again = phase == RunPhase::kQueued || phase == RunPhase::kRunning;
  if (again) return run->record;
  if (phase != RunPhase::kFailed && phase != RunPhase::kCancelled) {
    return absl::FailedPreconditionError(absl::StrCat("run ", run_id, ": is ", RunPhaseName(phase),
                                                      ", expected a failed or cancelled one"));
  }
  job.record.num_lost_trainers = 0;
  job.after_pause = false;
  SetPhase(*run, job, RunPhase::kQueued, "", now);
  return run->record;
}

// What a trainer has, or a dead predecessor of it had, comes first; then what waits; then what seems orphaned.
CoordinatorState::Job* CoordinatorState::ChooseJob(const TrainerOffer& offer, absl::Time now) {
  const int free_slots = options_.device_slots == 0 ? offer.slots : options_.device_slots - SlotsUsed();
  Job* queued = nullptr;
  Job* orphan = nullptr;
  const auto before = [&](const Job& a, const Job* b) {
    if (b == nullptr) return true;
    const int pa = runs_.at(a.record.run_id).record.priority, pb = runs_.at(b->record.run_id).record.priority;
    return pa != pb ? pa > pb : a.record.order < b->record.order;
  };
  for (const std::string& run_id : open_runs_) {
    const Run& run = runs_.at(run_id);
    Job& job = LastJob(run);
    const JobRecord& record = job.record;
    const bool fits = run.record.slots <= offer.slots;
    if (IsHeld(record.phase) && record.trainer_name == offer.trainer_name) return &job;
    if (record.phase == RunPhase::kQueued && fits && run.record.slots <= free_slots && before(job, queued)) {
      queued = &job;
    }
    const bool silent = now - job.heard > options_.trainer_timeout;
    if (record.phase == RunPhase::kRunning && fits && silent && before(job, orphan)) orphan = &job;
  }
  return queued != nullptr ? queued : orphan;
}

void CoordinatorState::GiveTo(Run& run, Job& job, const TrainerOffer& offer, absl::Time now) {
  job.record.trainer_id = offer.trainer_id;
  job.record.trainer_name = offer.trainer_name;
  ++job.record.incarnation;
  job.heard = now;
  job.host = offer.host;
  run.progress = now;
  for (const auto& [key, id] : run.batches) changed_.batches.insert(id);  // the earlier trainer may wait for them
  SetPhase(run, job, RunPhase::kRunning, "", now);
}

absl::StatusOr<std::optional<AcquiredJob>> CoordinatorState::AcquireJob(const TrainerOffer& offer, absl::Time now) {
  while (Job* const job = ChooseJob(offer, now)) {
    Run& run = runs_.at(job->record.run_id);
    if (IsHeld(job->record.phase) && job->record.trainer_id == offer.trainer_id) {
      job->heard = now;  // it did not get the answer to its last call
      return std::optional(AcquiredJob{job->record, run.record, job->after_pause});
    }
    if (IsHeld(job->record.phase)) job->after_pause = false;
    if (job->record.phase == RunPhase::kPausing) {  // its trainer died on the way: there is nobody left to pause
      SetPhase(run, *job, RunPhase::kPaused, "", now);
      continue;
    }
    if (job->record.phase == RunPhase::kRunning && ++job->record.num_lost_trainers > kMaxLostTrainers) {
      DropBatches(run, std::nullopt);
      SetPhase(run, *job, RunPhase::kFailed,
               absl::StrCat("its trainer was lost ", job->record.num_lost_trainers,
                            " times in a row without a new step; see its log, then `evilmoe-ctl retry`"),
               now);
      continue;
    }
    GiveTo(run, *job, offer, now);
    return std::optional(AcquiredJob{job->record, run.record, job->after_pause});
  }
  return std::optional<AcquiredJob>();
}

absl::StatusOr<bool> CoordinatorState::HeartbeatJob(const JobFenceKey& fence, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(const Job* const job, Fenced(fence, now));
  return job->record.phase == RunPhase::kPausing;
}

absl::Status CoordinatorState::ReleaseJob(const JobFenceKey& fence, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(Job* const job, Fenced(fence, now));
  Run& run = runs_.at(fence.run_id);
  const bool pausing = job->record.phase == RunPhase::kPausing;
  job->record.num_lost_trainers = 0;
  job->after_pause = false;
  SetPhase(run, *job, pausing ? RunPhase::kPaused : RunPhase::kQueued, "", now);
  return absl::OkStatus();
}

absl::Status CoordinatorState::BeginJob(const JobFenceKey& fence, int64_t resume_step,
                                        const std::string& model_fingerprint, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(const Job* const job, Fenced(fence, now));
  Run& run = runs_.at(fence.run_id);
  // Of the step that is next, what is finished stays: the trainer opens the same batch again. Earlier steps are done.
  DropBatches(run, resume_step);
  if (job->record.type == JobType::kTrain) run.record.steps_done = resume_step;
  if (!model_fingerprint.empty()) run.record.model_fingerprint = model_fingerprint;
  changes_.push_back(PutRun{run.record});
  changed_.runs.insert(fence.run_id);
  return absl::OkStatus();
}

absl::StatusOr<bool> CoordinatorState::RecordEvent(const JobFenceKey& fence, const std::string& key, EventRecord event,
                                                   int64_t steps_done, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(Job* const job, Fenced(fence, now));
  Run& run = runs_.at(fence.run_id);
  if (run.record.last_seq >= kMaxEvents && !run.event_keys.contains(key)) {
    return TooMany(absl::StrCat("events of run ", fence.run_id), static_cast<size_t>(kMaxEvents), "take a new run");
  }
  event.unix_ms = absl::ToUnixMillis(now);
  AddEvent(run, key, std::move(event));
  if (job->record.num_lost_trainers > 0 && steps_done > run.record.steps_done) {
    job->record.num_lost_trainers = 0;
    changes_.push_back(PutJob{job->record});
  }
  if (job->record.type == JobType::kTrain) {  // an ablation of an early checkpoint does not take the run back to it
    run.record.steps_done = steps_done;
    changes_.push_back(PutRun{run.record});
  }
  return job->record.phase == RunPhase::kPausing;
}

absl::Status CoordinatorState::FinishJob(const JobFenceKey& fence, bool ok, const std::string& error, absl::Time now) {
  const RunPhase phase = ok ? RunPhase::kSucceeded : RunPhase::kFailed;
  if (const auto old = jobs_.find(fence.job_id); old != jobs_.end()) {
    const JobRecord& job = old->second.record;
    const bool again = job.run_id == fence.run_id && job.incarnation == fence.incarnation && job.phase == phase;
    if (again) return absl::OkStatus();  // the answer to the first call was lost
  }
  EVILMOE_ASSIGN_OR_RETURN(Job* const job, Fenced(fence, now));
  Run& run = runs_.at(fence.run_id);
  DropBatches(run, std::nullopt);
  SetPhase(run, *job, phase, ok ? "" : error, now);
  return absl::OkStatus();
}

}  // namespace evilmoe
