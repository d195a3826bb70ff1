#include "services/coordinator/change_set.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>

namespace evilmoe {
namespace {

// What became of one batch.
struct BatchChanges {
  bool gone = false;              // what the store holds of it, from before the list
  const PutBatch* put = nullptr;  // put in the list, and still there
  std::map<int64_t, const RequeueGroup*> requeued;
  std::map<int64_t, const PutLease*> leases;       // null: the lease is over
  std::map<int64_t, const FinishGroup*> finished;  // by place
};

class ChangeSetMaker {
 public:
  void Add(const PutRun& change) { runs_[change.run.run_id] = &change.run; }
  void Add(const PutJob& change) { jobs_[change.job.job_id] = &change.job; }
  void Add(const PutAdapter& change) {
    const AdapterName& adapter = change.adapter;
    adapters_[{adapter.run_id, adapter.sha256, adapter.step}] = {++num_adapters_, &adapter};
  }
  void Add(const PutEvent& change) { set_.events.push_back(&change); }
  void Add(const PutBatch& change) {
    const BatchRecord& batch = change.batch;
    set_.dropped_keys.push_back(&batch);
    set_.last_batch_id = std::max(set_.last_batch_id, batch.id);
    Forget(batch.id);
    if (const auto same = ids_.find({batch.run_id, batch.key}); same != ids_.end()) Forget(same->second);
    ids_[{batch.run_id, batch.key}] = batch.id;
    batches_[batch.id].put = &change;
  }
  void Add(const DropBatch& change) { Forget(change.batch_id); }
  void Add(const PutLease& change) { batches_[change.batch_id].leases[change.index] = &change; }
  void Add(const RequeueGroup& change) {
    batches_[change.batch_id].leases[change.index] = nullptr;
    batches_[change.batch_id].requeued[change.index] = &change;
  }
  void Add(const FinishGroup& change) {
    batches_[change.batch_id].leases[change.group.index] = nullptr;
    batches_[change.batch_id].finished[change.place] = &change;
  }

  ChangeSet Finish() {
    for (const auto& [id, run] : runs_) set_.runs.push_back(run);
    for (const auto& [id, job] : jobs_) set_.jobs.push_back(job);
    std::vector<std::pair<int64_t, const AdapterName*>> adapters;
    for (const auto& [key, adapter] : adapters_) adapters.push_back(adapter);
    std::ranges::sort(adapters);
    for (const auto& [order, adapter] : adapters) set_.adapters.push_back(adapter);
    for (const auto& [id, batch] : batches_) Finish(id, batch);
    return std::move(set_);
  }

 private:
  void Forget(int64_t batch_id) {
    BatchChanges& batch = batches_[batch_id];
    if (batch.put != nullptr) ids_.erase({batch.put->batch.run_id, batch.put->batch.key});
    batch = {.gone = true};
  }
  void Finish(int64_t id, const BatchChanges& batch) {
    if (batch.gone) set_.dropped_ids.push_back(id);
    if (batch.put != nullptr) set_.batches.push_back(batch.put);
    if (batch.gone && batch.put == nullptr) return;
    for (const auto& [index, change] : batch.requeued) set_.requeued.push_back(change);
    for (const auto& [index, lease] : batch.leases) {
      if (lease != nullptr) set_.leases.push_back(lease);
      // In a batch of this list no lease is stored that could end.
      if (lease == nullptr && !batch.gone) set_.ended_leases.emplace_back(id, index);
    }
    for (const auto& [place, change] : batch.finished) set_.finished.push_back(change);
  }

  ChangeSet set_;
  std::map<std::string_view, const RunRecord*> runs_;
  std::map<std::string_view, const JobRecord*> jobs_;
  std::map<std::tuple<std::string_view, std::string_view, int64_t>, std::pair<int64_t, const AdapterName*>> adapters_;
  int64_t num_adapters_ = 0;
  std::map<int64_t, BatchChanges> batches_;
  std::map<std::pair<std::string_view, std::string_view>, int64_t> ids_;  // of batches put, by (run_id, key)
};

}  // namespace

ChangeSet MakeChangeSet(std::span<const StoreChange> changes) {
  ChangeSetMaker maker;
  for (const StoreChange& change : changes) {
    std::visit([&](const auto& one) { maker.Add(one); }, change);
  }
  return maker.Finish();
}

}  // namespace evilmoe
