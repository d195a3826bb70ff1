#include "services/coordinator/coordinator_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {

const char* RunPhaseName(RunPhase phase) {
  switch (phase) {
    case RunPhase::kQueued: return "queued";
    case RunPhase::kRunning: return "running";
    case RunPhase::kSucceeded: return "succeeded";
    case RunPhase::kFailed: return "failed";
    case RunPhase::kCancelled: return "cancelled";
    case RunPhase::kPausing: return "pausing";
    case RunPhase::kPaused: return "paused";
  }
  return "unknown";
}

absl::StatusOr<CoordinatorState> CoordinatorState::Create(StoreContents contents, Options options, absl::Time now,
                                                          CoordinatorMetrics& metrics) {
  CoordinatorState state(options, metrics);
  EVILMOE_RETURN_IF_ERROR(state.Take(std::move(contents), now));
  return state;
}

absl::Status CoordinatorState::Take(StoreContents contents, absl::Time now) {
  epoch_ = contents.epoch;
  last_batch_id_ = contents.last_batch_id;
  for (RunRecord& run : contents.runs) {
    const std::string run_id = run.run_id;
    runs_[run_id].record = std::move(run);
  }
  for (JobRecord& job : contents.jobs) {
    const auto run = runs_.find(job.run_id);
    if (run == runs_.end()) return absl::DataLossError(absl::StrCat("job ", job.job_id, ": no run ", job.run_id));
    run->second.jobs.push_back(job.job_id);
    if (!HasEnded(job.phase)) open_runs_.insert(job.run_id);
    run->second.progress = now;
    last_job_order_ = std::max(last_job_order_, job.order);
    const std::string job_id = job.job_id;
    jobs_[job_id] = {.record = std::move(job), .heard = now};
  }
  for (AdapterName& adapter : contents.adapters) runs_[adapter.run_id].adapters.push_back(std::move(adapter));
  for (auto& [run_id, keys] : contents.event_keys) runs_[run_id].event_keys.insert(keys.begin(), keys.end());
  for (StoredBatch& batch : contents.batches) EVILMOE_RETURN_IF_ERROR(TakeBatch(std::move(batch), now));
  return absl::OkStatus();
}

absl::Status CoordinatorState::TakeBatch(StoredBatch stored, absl::Time now) {
  const int64_t id = stored.batch.id;
  const auto run = runs_.find(stored.batch.run_id);
  if (run == runs_.end()) return absl::DataLossError(absl::StrCat("batch ", id, ": no run ", stored.batch.run_id));
  run->second.batches[stored.batch.key] = id;
  Batch& batch = batches_[id];
  batch.record = std::move(stored.batch);
  std::map<int64_t, FinishedGroup> finished;  // by place; places may have holes, never two the same
  for (StoredGroup& group : stored.groups) {
    const size_t at = batch.groups.size();
    batch.groups.push_back({.task = std::move(group.task), .num_losses = group.num_losses});
    if (group.finished) {
      finished[group.finished->place] = std::move(group.finished->group);
    } else if (group.lease) {
      batch.groups[at].lease_id = group.lease->lease_id;
      leases_[group.lease->lease_id] = {.batch_id = id,
                                        .group = at,
                                        .worker_id = std::move(group.lease->worker_id),
                                        .adapter = std::move(group.lease->adapter),
                                        .deadline = now + options_.lease_timeout};
      ++run->second.num_leased;
    } else {
      batch.waiting.insert(at);
    }
  }
  for (auto& [place, group] : finished) batch.finished.push_back(std::move(group));
  return absl::OkStatus();
}

absl::StatusOr<CoordinatorState::Run*> CoordinatorState::FindRun(const std::string& run_id) {
  const auto run = runs_.find(run_id);
  if (run != runs_.end()) return &run->second;
  return absl::NotFoundError(absl::StrCat("run ", run_id, ": not found; `evilmoe-ctl list` shows them"));
}

absl::StatusOr<const CoordinatorState::Run*> CoordinatorState::FindRun(const std::string& run_id) const {
  return const_cast<CoordinatorState*>(this)->FindRun(run_id);
}

absl::StatusOr<const CoordinatorState::Job*> CoordinatorState::Fenced(const JobFenceKey& fence) const {
  const auto found = jobs_.find(fence.job_id);
  if (found == jobs_.end() || found->second.record.run_id != fence.run_id) {
    return absl::AbortedError(absl::StrCat("job ", fence.job_id, ": run ", fence.run_id, " has no such job"));
  }
  const JobRecord& job = found->second.record;
  if (job.incarnation != fence.incarnation) {
    return absl::AbortedError(absl::StrCat("job ", fence.job_id, ": incarnation ", fence.incarnation,
                                           " is stale, trainer ", job.trainer_id, " has it as incarnation ",
                                           job.incarnation));
  }
  if (!IsHeld(job.phase)) {
    return absl::AbortedError(absl::StrCat("job ", fence.job_id, ": is not running: ", RunPhaseName(job.phase)));
  }
  return &found->second;
}

absl::StatusOr<CoordinatorState::Job*> CoordinatorState::Fenced(const JobFenceKey& fence, absl::Time now) {
  EVILMOE_RETURN_IF_ERROR(std::as_const(*this).Fenced(fence).status());
  Job& job = jobs_.at(fence.job_id);
  job.heard = now;
  return &job;
}

int CoordinatorState::SlotsUsed() const {
  int used = 0;
  for (const std::string& run_id : open_runs_) {
    const Run& run = runs_.at(run_id);
    if (IsHeld(run.record.phase)) used += run.record.slots;
  }
  return used;
}

CoordinatorStatus CoordinatorState::Status(absl::Time now) const {
  CoordinatorStatus status{.slots_used = SlotsUsed(), .slots_total = options_.device_slots};
  std::map<std::string, int> num_leases;
  for (const auto& [id, lease] : leases_) ++num_leases[lease.worker_id];
  for (WorkerView& worker : workers_.SeenSince(now - options_.lease_timeout)) {
    worker.num_leases = num_leases[worker.worker_id];
    status.workers.push_back(std::move(worker));
  }
  for (const std::string& run_id : open_runs_) {
    const Job& job = jobs_.at(runs_.at(run_id).jobs.back());
    if (!IsHeld(job.record.phase)) continue;
    status.workers.push_back({.worker_id = job.record.trainer_id,
                              .kind = "trainer",
                              .host = job.host,
                              .run_id = run_id,
                              .seen_unix_ms = absl::ToUnixMillis(job.heard)});
  }
  for (const auto& [id, batch] : batches_) status.groups_waiting += static_cast<int64_t>(batch.waiting.size());
  status.groups_leased = static_cast<int64_t>(leases_.size());
  return status;
}

bool CoordinatorState::HasWaitingGroups() const {
  return std::ranges::any_of(batches_, [](const auto& entry) { return !entry.second.waiting.empty(); });
}

void CoordinatorState::SetGauges(absl::Time now) const {
  std::map<RunPhase, int> counts;
  for (const auto& [run_id, run] : runs_) ++counts[run.record.phase];
  for (const RunPhase phase : {RunPhase::kQueued, RunPhase::kRunning, RunPhase::kSucceeded, RunPhase::kFailed,
                               RunPhase::kCancelled, RunPhase::kPausing, RunPhase::kPaused}) {
    metrics_->runs.Add({{"state", RunPhaseName(phase)}}).Set(counts[phase]);
  }
  metrics_->leases_open.Set(static_cast<double>(leases_.size()));
  metrics_->trainers.Set(counts[RunPhase::kRunning] + counts[RunPhase::kPausing]);
  metrics_->rollout_workers.Set(workers_.NumSeenSince(now - options_.lease_timeout));
  size_t waiting = 0;
  for (const auto& [id, batch] : batches_) waiting += batch.waiting.size();
  metrics_->groups_waiting.Set(static_cast<double>(waiting));
  std::map<std::string, absl::Time> progress;
  for (const std::string& run_id : open_runs_) {
    const Run& run = runs_.at(run_id);
    if (IsHeld(run.record.phase)) progress[run_id] = run.progress;
  }
  metrics_->SetProgress(progress);
}

}  // namespace evilmoe
