#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "services/coordinator/coordinator_state.h"

namespace evilmoe {
namespace {

constexpr size_t kLostSampleBytes = 128;  // of a sample that the answer makes up for a lost group

// Tells whether two requests ask for the same: lengths stand before what has one.
std::string Fingerprint(const BatchRecord& batch, const std::vector<GroupTask>& groups) {
  std::string text = absl::StrCat(batch.step, "|", batch.adapter.sha256, "|", batch.bind_at_lease, "|",
                                  batch.max_policy_lag, "|", batch.sampling.size(), "|", batch.sampling, "|",
                                  groups.size());
  for (const GroupTask& group : groups) {
    absl::StrAppend(&text, "|", group.index, "|", group.num_samples, "|", group.spec.size(), "|", group.spec);
  }
  return Sha256Hex(text);
}

// Puts them in order of their indices.
absl::Status SortGroups(const BatchRecord& batch, std::vector<GroupTask>& groups) {
  std::ranges::sort(groups, {}, &GroupTask::index);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].index < 0 || (i > 0 && groups[i].index == groups[i - 1].index)) {
      return absl::InvalidArgumentError(absl::StrCat("batch ", batch.key, ": group index ", groups[i].index,
                                                     " is negative or stands twice, expected each once"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CoordinatorState::OpenBatch(const JobFenceKey& fence, BatchRecord batch, std::vector<GroupTask> groups,
                                         absl::Time now) {
  EVILMOE_RETURN_IF_ERROR(SortGroups(batch, groups));
  batch.run_id = fence.run_id;
  batch.fingerprint = Fingerprint(batch, groups);
  EVILMOE_RETURN_IF_ERROR(Fenced(fence, now).status());
  Run& run = runs_.at(fence.run_id);
  if (const auto old = run.batches.find(batch.key); old != run.batches.end()) {
    if (batches_.at(old->second).record.fingerprint == batch.fingerprint) return absl::OkStatus();
    return absl::AlreadyExistsError(absl::StrCat("batch ", batch.key, ": is open with other groups"));
  }
  if (batch.bind_at_lease) {
    if (run.record.adapter.sha256.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("batch ", batch.key, ": run ", fence.run_id, " has published no adapter; publish one first"));
    }
  } else {
    const absl::StatusOr<AdapterName> adapter = FindAdapter({.run_id = fence.run_id, .sha256 = batch.adapter.sha256});
    if (!adapter.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("batch ", batch.key, ": adapter ", batch.adapter.sha256,
                                                        " was never published; publish it first"));
    }
    batch.adapter.run_id = fence.run_id;
    batch.adapter.size_bytes = adapter->size_bytes;
  }
  batch.id = ++last_batch_id_;
  run.batches[batch.key] = batch.id;
  Batch& added = batches_[batch.id];
  added.groups.reserve(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    added.groups.push_back({.task = groups[i]});
    added.waiting.insert(added.waiting.end(), i);
  }
  changes_.push_back(PutBatch{batch, std::make_shared<const std::vector<GroupTask>>(std::move(groups))});
  added.record = std::move(batch);
  changed_.leases = true;
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CoordinatorState::FindBatch(const JobFenceKey& fence, const std::string& key) const {
  EVILMOE_RETURN_IF_ERROR(Fenced(fence).status());
  const Run& run = runs_.at(fence.run_id);
  const auto found = run.batches.find(key);
  if (found != run.batches.end()) return found->second;
  return absl::NotFoundError(absl::StrCat("batch ", key, ": run ", fence.run_id, " has no such open batch"));
}

FetchedGroups CoordinatorState::Progress(int64_t batch_id, int64_t after) const {
  const Batch& batch = batches_.at(batch_id);
  return {.next = after,
          .num_groups = static_cast<int64_t>(batch.groups.size()),
          .num_finished = static_cast<int64_t>(batch.finished.size())};
}

absl::StatusOr<std::optional<FetchedGroups>> CoordinatorState::FetchGroups(const JobFenceKey& fence,
                                                                           const std::string& key, int64_t after,
                                                                           size_t max_bytes, absl::Time now) {
  EVILMOE_RETURN_IF_ERROR(Fenced(fence, now).status());
  EVILMOE_ASSIGN_OR_RETURN(const int64_t batch_id, FindBatch(fence, key));
  FetchedGroups fetched = Progress(batch_id, after);
  if (after < 0 || after > fetched.num_finished) {
    return absl::InvalidArgumentError(absl::StrCat("after: got ", after, ", expected at most the ",
                                                   fetched.num_finished, " groups that finished"));
  }
  const Batch& batch = batches_.at(batch_id);
  for (size_t num_bytes = 0; num_bytes < max_bytes && fetched.next < fetched.num_finished; ++fetched.next) {
    fetched.groups.push_back(batch.finished[static_cast<size_t>(fetched.next)]);
    const FinishedGroup& group = fetched.groups.back();
    num_bytes +=
        group.result != nullptr ? group.result->size() : static_cast<size_t>(group.num_samples) * kLostSampleBytes;
  }
  if (fetched.groups.empty() && fetched.num_finished < fetched.num_groups) return std::optional<FetchedGroups>();
  return std::optional(std::move(fetched));
}

absl::Status CoordinatorState::CloseBatch(const JobFenceKey& fence, const std::string& key, absl::Time now) {
  EVILMOE_RETURN_IF_ERROR(Fenced(fence, now).status());
  Run& run = runs_.at(fence.run_id);
  const auto found = run.batches.find(key);
  if (found != run.batches.end()) DropBatch(run, found->second);
  return absl::OkStatus();
}

void CoordinatorState::DropBatch(Run& run, int64_t batch_id) {
  const auto found = batches_.find(batch_id);
  int64_t num_leases = 0;
  for (const Group& group : found->second.groups) {
    if (group.lease_id != 0) num_leases += static_cast<int64_t>(leases_.erase(group.lease_id));
  }
  run.num_leased -= num_leases;
  metrics_->leases_dropped.Increment(static_cast<double>(num_leases));
  run.batches.erase(found->second.record.key);
  batches_.erase(found);
  changes_.push_back(evilmoe::DropBatch{batch_id});
  changed_.batches.insert(batch_id);
}

void CoordinatorState::DropBatches(Run& run, std::optional<int64_t> keep_step) {
  std::vector<int64_t> drop;
  for (const auto& [key, id] : run.batches) {
    if (!keep_step || batches_.at(id).record.step != *keep_step) drop.push_back(id);
  }
  for (const int64_t id : drop) DropBatch(run, id);
}

}  // namespace evilmoe
