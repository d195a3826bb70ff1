#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"
#include "services/coordinator/coordinator_state.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kForgetWorkerAfter = absl::Minutes(10);
constexpr const char* kWrongBaseModel = "WRONG_BASE_MODEL";
constexpr int kLeaseBits = 40;  // a life of a coordinator grants fewer than 2^40 leases

}  // namespace

absl::Status CoordinatorState::CheckRegistration(const std::string& worker_id) const {
  if (workers_.MayRegister(worker_id)) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("worker ", worker_id, ": there are ", WorkerTable::kMaxWorkers,
                                                   " workers, expected fewer; silent ones are forgotten after ten "
                                                   "minutes"));
}

std::vector<int64_t> CoordinatorState::Heartbeat(const std::string& worker_id, const std::string& host,
                                                 const std::vector<int64_t>& lease_ids, absl::Time now) {
  workers_.Heartbeat(worker_id, host, now);
  std::vector<int64_t> lost;
  for (const int64_t lease_id : lease_ids) {
    const auto lease = leases_.find(lease_id);
    if (lease != leases_.end() && lease->second.worker_id == worker_id) {
      lease->second.deadline = now + options_.lease_timeout;
    } else {
      lost.push_back(lease_id);
    }
  }
  return lost;
}

const AdapterName* CoordinatorState::AdapterFor(const Run& run, const Batch& batch) const {
  if (!batch.record.bind_at_lease) return &batch.record.adapter;
  const AdapterName& newest = run.record.adapter;
  const bool fresh = !newest.sha256.empty() && batch.record.step - newest.step <= batch.record.max_policy_lag;
  return fresh ? &newest : nullptr;
}

// That of the earliest step, since the trainer waits for it; a step's own batches in the order in which they were opened.
CoordinatorState::Batch* CoordinatorState::FirstBatch(const Run& run) {
  Batch* first = nullptr;
  for (const auto& [key, id] : run.batches) {
    Batch& batch = batches_.at(id);
    if (batch.waiting.empty() || AdapterFor(run, batch) == nullptr) continue;
    const auto place = [](const Batch& one) { return std::pair(one.record.step, one.record.id); };
    if (first == nullptr || place(batch) < place(*first)) first = &batch;
  }
  return first;
}

// Higher priority first; between equals the run with the fewest leased groups, so that several share the workers; of
// these the one that the worker has its model and adapter for; then the one whose batch is older.
CoordinatorState::Batch* CoordinatorState::ChooseBatch(const std::string& worker_id) {
  Batch* chosen = nullptr;
  const std::string& last_run = workers_.LastRun(worker_id);
  std::tuple<int, int64_t, bool, int64_t> best;
  for (const std::string& run_id : open_runs_) {
    const Run& run = runs_.at(run_id);
    if (!IsHeld(run.record.phase) || workers_.IsUnfit(worker_id, run_id)) continue;
    Batch* const first = FirstBatch(run);
    if (first == nullptr) continue;
    const std::tuple rank(-run.record.priority, run.num_leased, run_id != last_run, first->record.id);
    if (chosen == nullptr || rank < best) {
      best = rank;
      chosen = first;
    }
  }
  return chosen;
}

absl::StatusOr<Granted> CoordinatorState::LeaseGroups(const std::string& worker_id, int max_groups, absl::Time now) {
  if (!workers_.IsRegistered(worker_id)) {
    return absl::FailedPreconditionError(
        absl::StrCat("worker ", worker_id, ": this coordinator has had no heartbeat of it; send one first"));
  }
  workers_.Touch(worker_id, now);
  Batch* const batch = ChooseBatch(worker_id);
  if (batch == nullptr) return Granted();
  Run& run = runs_.at(batch->record.run_id);
  Granted granted{.batch = batch->record,
                  .adapter = *AdapterFor(run, *batch),
                  .config_yaml = run.record.config_yaml,
                  .model_fingerprint = run.record.model_fingerprint};
  workers_.SetLastRun(worker_id, run.record.run_id);
  for (int i = 0; i < max_groups && !batch->waiting.empty(); ++i) {
    const size_t at = *batch->waiting.begin();
    batch->waiting.erase(batch->waiting.begin());
    Group& group = batch->groups[at];
    group.lease_id = (epoch_ << kLeaseBits) | ++last_lease_;
    ++run.num_leased;
    leases_[group.lease_id] = {.batch_id = batch->record.id,
                               .group = at,
                               .worker_id = worker_id,
                               .adapter = granted.adapter,
                               .deadline = now + options_.lease_timeout};
    changes_.push_back(PutLease{.batch_id = batch->record.id,
                                .index = group.task.index,
                                .lease_id = group.lease_id,
                                .worker_id = worker_id,
                                .adapter = granted.adapter});
    granted.leases.push_back({.lease_id = group.lease_id, .task = group.task});
  }
  metrics_->leases_granted.Increment(static_cast<double>(granted.leases.size()));
  return granted;
}

absl::StatusOr<CoordinatorState::Lease*> CoordinatorState::HeldLease(const std::string& worker_id, int64_t lease_id,
                                                                     absl::Time now) {
  workers_.Touch(worker_id, now);
  const auto lease = leases_.find(lease_id);
  if (lease != leases_.end() && lease->second.worker_id == worker_id) return &lease->second;
  return absl::AbortedError(
      absl::StrCat("lease ", lease_id, ": not held by worker ", worker_id, " (done, expired or dropped)"));
}

absl::Status CoordinatorState::CheckAdapter(const std::string& worker_id, const AdapterName& got,
                                            const AdapterName& expected) const {
  if (got.run_id == expected.run_id && got.sha256 == expected.sha256) {
    if (workers_.Holds(worker_id, got.run_id, got.sha256)) return absl::OkStatus();
    metrics_->refused_unacknowledged.Increment();
    return absl::FailedPreconditionError(absl::StrCat("adapter ", got.sha256, ": unacknowledged by worker ", worker_id,
                                                      "; acknowledge it and hand the group in again"));
  }
  const bool stale = got.run_id == expected.run_id && FindAdapter(got).ok();
  (stale ? metrics_->refused_stale : metrics_->refused_foreign).Increment();
  return absl::FailedPreconditionError(absl::StrCat("group sampled with a ", stale ? "stale" : "foreign",
                                                    " adapter: got ", got.sha256, " of run ", got.run_id,
                                                    ", expected ", expected.sha256, " of run ", expected.run_id));
}

absl::Status CoordinatorState::CompleteGroup(const std::string& worker_id, int64_t lease_id, CompletedGroup group,
                                             absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(const Lease* const lease, HeldLease(worker_id, lease_id, now));
  Batch& batch = batches_.at(lease->batch_id);
  const size_t at = lease->group;
  const GroupTask& task = batch.groups[at].task;
  if (group.index != task.index || group.num_samples != task.num_samples) {
    return absl::InvalidArgumentError(absl::StrCat("lease ", lease_id, ": got group ", group.index, " with ",
                                                   group.num_samples, " samples, expected group ", task.index,
                                                   " with ", task.num_samples));
  }
  EVILMOE_RETURN_IF_ERROR(CheckAdapter(worker_id, group.adapter, lease->adapter));
  EndLease(lease_id);
  Finish(batch,
         {.index = task.index,
          .num_samples = task.num_samples,
          .result = std::make_shared<const std::string>(std::move(group.result))});
  metrics_->leases_completed.Increment();
  return absl::OkStatus();
}

void CoordinatorState::EndLease(int64_t lease_id) {
  const auto lease = leases_.find(lease_id);
  Batch& batch = batches_.at(lease->second.batch_id);
  batch.groups[lease->second.group].lease_id = 0;
  --runs_.at(batch.record.run_id).num_leased;
  leases_.erase(lease);
}

void CoordinatorState::Finish(Batch& batch, FinishedGroup finished) {
  const auto place = static_cast<int64_t>(batch.finished.size());
  changes_.push_back(FinishGroup{batch.record.id, place, finished});
  batch.finished.push_back(std::move(finished));
  changed_.batches.insert(batch.record.id);
}

void CoordinatorState::LoseLease(int64_t lease_id, int64_t num_losses, const std::string& reason) {
  const Lease& lease = leases_.at(lease_id);
  Batch& batch = batches_.at(lease.batch_id);
  const size_t at = lease.group;
  EndLease(lease_id);
  Group& group = batch.groups[at];
  group.num_losses = num_losses;
  if (num_losses > kMaxLosses) {
    metrics_->leases_lost.Increment();
    Finish(batch, {.index = group.task.index, .num_samples = group.task.num_samples, .lost_reason = reason});
    return;
  }
  batch.waiting.insert(at);
  changes_.push_back(RequeueGroup{batch.record.id, group.task.index, num_losses});
  changed_.leases = true;
}

absl::Status CoordinatorState::AbandonGroup(const std::string& worker_id, int64_t lease_id, const std::string& reason,
                                            const std::string& detail, absl::Time now) {
  EVILMOE_ASSIGN_OR_RETURN(const Lease* const lease, HeldLease(worker_id, lease_id, now));
  const Batch& batch = batches_.at(lease->batch_id);
  const int64_t before = batch.groups[lease->group].num_losses;
  const std::string run_id = batch.record.run_id;
  const bool unfit = reason == kWrongBaseModel;
  // Neither a worker that leaves in good order nor one that has another model is a loss.
  LoseLease(lease_id, before + (reason == "CANCELLED" || unfit ? 0 : 1), reason);
  metrics_->leases.Add({{"outcome", absl::StrCat("abandoned_", reason)}}).Increment();
  if (!unfit) return absl::OkStatus();
  workers_.SetUnfit(worker_id, run_id);
  const nlohmann::json payload = {{"message", absl::StrCat("worker ", worker_id, " gets no more groups of this run: ",
                                                           detail.empty() ? "it has another base model" : detail)}};
  Run& run = runs_.at(run_id);
  if (run.record.last_seq >= kMaxEvents) return absl::OkStatus();
  AddEvent(run, absl::StrCat("coordinator/unfit/", worker_id),
           {.unix_ms = absl::ToUnixMillis(now),
            .kind = "warning",
            .payload_json = payload.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)});
  return absl::OkStatus();
}

int CoordinatorState::ExpireOverdue(absl::Time now) {
  workers_.ForgetBefore(now - std::max(kForgetWorkerAfter, 3 * options_.lease_timeout));
  std::vector<int64_t> overdue;
  for (const auto& [id, lease] : leases_) {
    if (lease.deadline < now) overdue.push_back(id);
  }
  std::ranges::sort(overdue);
  for (const int64_t id : overdue) {
    const Lease& lease = leases_.at(id);
    if (workers_.NoteLost(lease.worker_id, now - options_.lease_timeout)) metrics_->workers_lost.Increment();
    LoseLease(id, batches_.at(lease.batch_id).groups[lease.group].num_losses + 1, "INFRA_LOST");
  }
  metrics_->leases_expired.Increment(static_cast<double>(overdue.size()));
  const std::set<std::string> open = open_runs_;
  for (const std::string& run_id : open) {
    Run& run = runs_.at(run_id);
    Job& job = LastJob(run);
    const bool silent = now - job.heard > options_.trainer_timeout;
    if (job.record.phase == RunPhase::kPausing && silent) SetPhase(run, job, RunPhase::kPaused, "", now);
    // Whoever waits for a job may have this one.
    if (job.record.phase == RunPhase::kRunning && silent) changed_.jobs = true;
  }
  return static_cast<int>(overdue.size());
}

}  // namespace evilmoe
