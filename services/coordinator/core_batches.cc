#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_core.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFetchBytes = size_t{64} << 20;  // of results in one answer: well inside a message

// Tells whether two requests ask for the same: lengths stand before what has one.
std::string Fingerprint(const BatchRecord& batch, const std::vector<GroupTask>& groups) {
  std::string text = absl::StrCat(batch.step, "|", batch.adapter.sha256, "|", batch.sampling.size(), "|",
                                  batch.sampling, "|", groups.size());
  for (const GroupTask& group : groups) {
    absl::StrAppend(&text, "|", group.index, "|", group.num_samples, "|", group.spec.size(), "|", group.spec);
  }
  return Sha256Hex(text);
}

absl::Status CheckGroups(const BatchRecord& batch, const std::vector<GroupTask>& groups) {
  std::set<int64_t> seen;
  for (const GroupTask& group : groups) {
    if (group.index < 0 || !seen.insert(group.index).second) {
      return absl::InvalidArgumentError(absl::StrCat("batch ", batch.key, ": group index ", group.index,
                                                     " is negative or stands twice, expected each once"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CoordinatorCore::OpenBatch(const JobFenceKey& fence, BatchRecord batch,
                                        const std::vector<GroupTask>& groups) {
  EVILMOE_RETURN_IF_ERROR(CheckGroups(batch, groups));
  batch.run_id = fence.run_id;
  batch.fingerprint = Fingerprint(batch, groups);
  MutexLock lock(mu_);
  EVILMOE_RETURN_IF_ERROR(CheckFenceLocked(fence).status());
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<BatchRecord> old, store_.FindBatch(fence.run_id, batch.key));
  if (old && old->fingerprint == batch.fingerprint) return absl::OkStatus();
  if (old) return absl::AlreadyExistsError(absl::StrCat("batch ", batch.key, ": is open with other groups"));
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<AdapterName> adapter,
                           store_.FindAdapter(fence.run_id, batch.adapter.sha256));
  if (!adapter) {
    return absl::FailedPreconditionError(absl::StrCat("batch ", batch.key, ": adapter ", batch.adapter.sha256,
                                                      " was never published; publish it first"));
  }
  const int64_t step = batch.adapter.step;
  batch.adapter = *adapter;
  batch.adapter.step = step;
  EVILMOE_ASSIGN_OR_RETURN(const auto transaction, store_.Begin());
  EVILMOE_RETURN_IF_ERROR(store_.InsertBatch(batch, groups));
  EVILMOE_RETURN_IF_ERROR(transaction->Commit());
  ChangedLocked();
  logger_.Info("batch_opened", {{"run", fence.run_id}, {"batch", batch.key}, {"groups", groups.size()}});
  return absl::OkStatus();
}

absl::StatusOr<CoordinatorCore::Fetched> CoordinatorCore::FetchGroups(const JobFenceKey& fence, const std::string& key,
                                                                      const std::set<int64_t>& have,
                                                                      const WaitOptions& wait) {
  MutexLock lock(mu_);
  Fetched fetched;
  const auto attempt = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) -> absl::StatusOr<std::optional<bool>> {
    EVILMOE_RETURN_IF_ERROR(CheckFenceLocked(fence).status());
    EVILMOE_ASSIGN_OR_RETURN(const std::optional<BatchRecord> batch, store_.FindBatch(fence.run_id, key));
    if (!batch) return absl::NotFoundError(absl::StrCat("batch ", key, ": run ", fence.run_id, " has no such open batch"));
    EVILMOE_ASSIGN_OR_RETURN(fetched.progress, store_.BatchProgress(batch->id));
    EVILMOE_ASSIGN_OR_RETURN(fetched.groups, store_.ListFinished(batch->id, have, kMaxFetchBytes));
    const bool enough = !fetched.groups.empty() || fetched.progress.num_finished == fetched.progress.num_groups;
    return enough ? std::optional(true) : std::nullopt;
  };
  EVILMOE_RETURN_IF_ERROR(AwaitLocked(wait, attempt).status());
  return fetched;
}

absl::Status CoordinatorCore::CloseBatch(const JobFenceKey& fence, const std::string& key) {
  MutexLock lock(mu_);
  EVILMOE_RETURN_IF_ERROR(CheckFenceLocked(fence).status());
  EVILMOE_ASSIGN_OR_RETURN(const std::optional<BatchRecord> batch, store_.FindBatch(fence.run_id, key));
  if (!batch) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(store_.DeleteBatch(batch->id));
  ChangedLocked();
  return absl::OkStatus();
}

}  // namespace evilmoe
