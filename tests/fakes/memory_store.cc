#include "tests/fakes/memory_store.h"

#include <algorithm>
#include <tuple>

namespace evilmoe {

absl::StatusOr<StoreContents> MemoryStore::Load() {
  MutexLock lock(mu_);
  StoreContents contents{.epoch = ++epoch_, .last_batch_id = last_batch_id_};
  for (const auto& [id, run] : runs_) contents.runs.push_back(run);
  std::ranges::stable_sort(contents.runs, {}, &RunRecord::created_unix_ms);
  for (RunRecord& run : contents.runs) {
    run.adapter = {};
    run.last_seq = 0;
    for (const StoredEvent& stored : events_[run.run_id]) run.last_seq = std::max(run.last_seq, stored.event.seq);
    for (const AdapterName& adapter : adapters_) {
      if (adapter.run_id != run.run_id) continue;
      run.adapter = adapter;
      if (!HasEnded(run.phase)) contents.adapters.push_back(adapter);
    }
    std::vector<std::string>& keys = contents.event_keys[run.run_id];
    for (const StoredEvent& stored : events_[run.run_id]) keys.push_back(stored.key);
  }
  for (const auto& [id, job] : jobs_) contents.jobs.push_back(job);
  std::ranges::sort(contents.jobs, {}, &JobRecord::order);
  for (const auto& [id, batch] : batches_) {
    StoredBatch& stored = contents.batches.emplace_back(StoredBatch{.batch = batch.record});
    for (const auto& [index, group] : batch.groups) stored.groups.push_back(group);
  }
  return contents;
}

absl::Status MemoryStore::Apply(std::span<const StoreChange> changes) {
  MutexLock lock(mu_);
  if (!failure_.ok()) return failure_;
  for (const StoreChange& change : changes) {
    std::visit([this](const auto& one) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { Do(one); }, change);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<EventRecord>> MemoryStore::ReadEvents(const std::string& run_id, int64_t after_seq,
                                                                 int limit) {
  MutexLock lock(mu_);
  std::vector<EventRecord> events;
  for (const StoredEvent& stored : events_[run_id]) {
    if (stored.event.seq > after_seq) events.push_back(stored.event);
  }
  std::ranges::sort(events, {}, &EventRecord::seq);
  events.resize(std::min(events.size(), static_cast<size_t>(limit)));
  return events;
}

void MemoryStore::Do(const PutAdapter& change) {
  const auto key = [](const AdapterName& name) { return std::tie(name.run_id, name.sha256, name.step); };
  std::erase_if(adapters_, [&](const AdapterName& name) { return key(name) == key(change.adapter); });
  adapters_.push_back(change.adapter);
}

void MemoryStore::Do(const PutEvent& change) {
  std::vector<StoredEvent>& events = events_[change.run_id];
  const bool taken = std::ranges::any_of(events, [&](const StoredEvent& stored) {
    return stored.key == change.key || stored.event.seq == change.event.seq;
  });
  if (!taken) events.push_back({change.key, change.event});
}

void MemoryStore::Do(const PutBatch& change) {
  std::erase_if(batches_, [&](const auto& entry) {
    return entry.second.record.run_id == change.batch.run_id && entry.second.record.key == change.batch.key;
  });
  Batch& batch = batches_[change.batch.id] = {.record = change.batch};
  for (const GroupTask& task : *change.groups) batch.groups[task.index] = {.task = task};
  last_batch_id_ = std::max(last_batch_id_, change.batch.id);
}

StoredGroup* MemoryStore::Find(int64_t batch_id, int64_t index) {
  const auto batch = batches_.find(batch_id);
  if (batch == batches_.end()) return nullptr;
  const auto group = batch->second.groups.find(index);
  return group == batch->second.groups.end() ? nullptr : &group->second;
}

void MemoryStore::Do(const PutLease& change) {
  if (StoredGroup* const group = Find(change.batch_id, change.index)) group->lease = change;
}

void MemoryStore::Do(const RequeueGroup& change) {
  StoredGroup* const group = Find(change.batch_id, change.index);
  if (group == nullptr) return;
  group->lease.reset();
  group->num_losses = change.num_losses;
}

void MemoryStore::Do(const FinishGroup& change) {
  StoredGroup* const group = Find(change.batch_id, change.group.index);
  if (group == nullptr) return;
  group->lease.reset();
  group->finished = change;
}

}  // namespace evilmoe
