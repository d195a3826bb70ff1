#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kForgetWorkerAfter = absl::Minutes(10);

}  // namespace

absl::StatusOr<std::vector<int64_t>> CoordinatorCore::Heartbeat(const std::string& worker_id,
                                                                const std::vector<int64_t>& lease_ids) {
  MutexLock lock(mu_);
  if (!workers_.IsRegistered(worker_id)) logger_.Info("worker_registered", {{"worker", worker_id}});
  workers_.Heartbeat(worker_id, clock_.Now());
  std::vector<int64_t> lost;
  if (lease_ids.empty()) return lost;
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  for (const int64_t lease_id : lease_ids) {
    EVILMOE_ASSIGN_OR_RETURN(const bool held, store_.RenewLease(lease_id, worker_id, LeaseDeadlineMs()));
    if (!held) lost.push_back(lease_id);
  }
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  return lost;
}

absl::StatusOr<std::optional<CoordinatorCore::Granted>> CoordinatorCore::TryLeaseLocked(const std::string& worker_id,
                                                                                        int max_groups) {
  EVILMOE_ASSIGN_OR_RETURN(std::optional<BatchRecord> batch, store_.OldestPendingBatch());
  if (!batch) return std::optional<Granted>();
  EVILMOE_ASSIGN_OR_RETURN(const RunRecord run, FindRunLocked(batch->run_id));
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  EVILMOE_ASSIGN_OR_RETURN(std::vector<Store::NewLease> leases,
                           store_.LeasePending(batch->id, max_groups, worker_id, LeaseDeadlineMs()));
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  metrics_.leases_granted.Increment(static_cast<double>(leases.size()));
  return std::optional(
      Granted{.leases = std::move(leases), .batch = *std::move(batch), .config_yaml = run.config_yaml});
}

absl::StatusOr<CoordinatorCore::Granted> CoordinatorCore::LeaseGroups(const std::string& worker_id, int max_groups,
                                                                      const WaitOptions& wait) {
  MutexLock lock(mu_);
  if (!workers_.IsRegistered(worker_id)) {
    return absl::FailedPreconditionError(
        absl::StrCat("worker ", worker_id, ": this coordinator has had no heartbeat of it; send one first"));
  }
  EVILMOE_ASSIGN_OR_RETURN(
      std::optional<Granted> granted,
      AwaitLocked(wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return TryLeaseLocked(worker_id, max_groups); }));
  workers_.Touch(worker_id, clock_.Now());
  return granted ? *std::move(granted) : Granted();
}

absl::StatusOr<LeasedGroup> CoordinatorCore::HeldLeaseLocked(const std::string& worker_id, int64_t lease_id) {
  workers_.Touch(worker_id, clock_.Now());
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<LeasedGroup> group, store_.FindLease(lease_id));
  if (!group || group->worker_id != worker_id) {
    return absl::AbortedError(
        absl::StrCat("lease ", lease_id, ": not held by worker ", worker_id, " (done, expired or dropped)"));
  }
  return *group;
}

absl::Status CoordinatorCore::CheckAdapterLocked(const std::string& worker_id, const AdapterName& got,
                                                 const AdapterName& expected) {
  if (got.run_id == expected.run_id && got.sha256 == expected.sha256) {
    if (workers_.Holds(worker_id, got.run_id, got.sha256)) return absl::OkStatus();
    metrics_.refused_unacknowledged.Increment();
    return absl::FailedPreconditionError(absl::StrCat("adapter ", got.sha256, ": unacknowledged by worker ", worker_id,
                                                      "; acknowledge it and hand the group in again"));
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<AdapterName> known, store_.FindAdapter(expected.run_id, got.sha256));
  const bool stale = known && got.run_id == expected.run_id;
  (stale ? metrics_.refused_stale : metrics_.refused_foreign).Increment();
  logger_.Warn("adapter_refused", {{"worker", worker_id}, {"got", got.sha256}, {"expected", expected.sha256}});
  return absl::FailedPreconditionError(absl::StrCat("group sampled with a ", stale ? "stale" : "foreign",
                                                    " adapter: got ", got.sha256, " of run ", got.run_id,
                                                    ", expected ", expected.sha256, " of run ", expected.run_id));
}

absl::Status CoordinatorCore::CompleteGroup(const std::string& worker_id, int64_t lease_id,
                                            const CompletedGroup& group) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const LeasedGroup held, HeldLeaseLocked(worker_id, lease_id));
  if (group.index != held.task.index || group.num_samples != held.task.num_samples) {
    return absl::InvalidArgumentError(absl::StrCat("lease ", lease_id, ": got group ", group.index, " with ",
                                                   group.num_samples, " samples, expected group ", held.task.index,
                                                   " with ", held.task.num_samples));
  }
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<BatchRecord> batch, store_.GetBatch(held.batch_id));
  if (!batch) return absl::InternalError(absl::StrCat("lease ", lease_id, ": its group has no batch"));
  EVILMOE_RETURN_IF_ERROR(CheckAdapterLocked(worker_id, group.adapter, batch->adapter));
  EVILMOE_RETURN_IF_ERROR(store_.FinishLease(lease_id, "", group.result));
  metrics_.leases_completed.Increment();
  ChangedLocked();
  return absl::OkStatus();
}

absl::Status CoordinatorCore::LoseLeaseLocked(int64_t lease_id, int64_t num_losses, const std::string& reason) {
  if (num_losses <= kMaxLosses) return store_.RequeueLease(lease_id, num_losses);
  metrics_.leases_lost.Increment();
  logger_.Warn("group_lost", {{"lease", lease_id}, {"losses", num_losses}, {"reason", reason}});
  return store_.FinishLease(lease_id, reason, "");
}

absl::Status CoordinatorCore::AbandonGroup(const std::string& worker_id, int64_t lease_id, const std::string& reason) {
  MutexLock lock(mu_);
  EVILMOE_ASSIGN_OR_RETURN(const LeasedGroup held, HeldLeaseLocked(worker_id, lease_id));
  // A worker that leaves in good order is no loss.
  const int64_t num_losses = held.num_losses + (reason == "CANCELLED" ? 0 : 1);
  EVILMOE_RETURN_IF_ERROR(LoseLeaseLocked(lease_id, num_losses, reason));
  metrics_.leases.Add({{"outcome", absl::StrCat("abandoned_", reason)}}).Increment();
  ChangedLocked();
  return absl::OkStatus();
}

absl::StatusOr<int> CoordinatorCore::ExpireOverdue() {
  MutexLock lock(mu_);
  workers_.ForgetBefore(clock_.Now() - std::max(kForgetWorkerAfter, 3 * options_.lease_timeout));
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<LeaseRow> overdue, store_.ListOverdueLeases(NowMs()));
  if (overdue.empty()) return 0;
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  for (const LeaseRow& lease : overdue) {
    EVILMOE_RETURN_IF_ERROR(LoseLeaseLocked(lease.lease_id, lease.num_losses + 1, "INFRA_LOST"));
    logger_.Warn("lease_expired", {{"lease", lease.lease_id}, {"worker", lease.worker_id}, {"group", lease.index}});
  }
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  metrics_.leases_expired.Increment(static_cast<double>(overdue.size()));
  ChangedLocked();
  return static_cast<int>(overdue.size());
}

}  // namespace evilmoe
