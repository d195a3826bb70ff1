#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "services/coordinator/store.h"

namespace evilmoe {

// A store that forgets everything when it ends; each change done for itself, in the plainest way. It passes the
// contract tests of the real ones, which are compared with it. `failure` makes Apply() fail and change nothing.
class MemoryStore final : public Store {
 public:
  absl::StatusOr<StoreContents> Load() override;
  absl::Status Apply(std::span<const StoreChange> changes) override;
  absl::StatusOr<std::vector<EventRecord>> ReadEvents(const std::string& run_id, int64_t after_seq, int limit) override;
  std::string Description() const override { return "memory"; }

  void FailWith(absl::Status failure) {
    MutexLock lock(mu_);
    failure_ = std::move(failure);
  }

 private:
  struct StoredEvent {
    std::string key;
    EventRecord event;
  };
  struct Batch {
    BatchRecord record;
    std::map<int64_t, StoredGroup> groups;  // by index
  };

  void Do(const PutRun& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { runs_[change.run.run_id] = change.run; }
  void Do(const PutJob& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { jobs_[change.job.job_id] = change.job; }
  void Do(const PutAdapter& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Do(const PutEvent& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Do(const PutBatch& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Do(const DropBatch& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { batches_.erase(change.batch_id); }
  void Do(const PutLease& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Do(const RequeueGroup& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Do(const FinishGroup& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  StoredGroup* Find(int64_t batch_id, int64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  int64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t last_batch_id_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, RunRecord> runs_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, JobRecord> jobs_ ABSL_GUARDED_BY(mu_);
  std::vector<AdapterName> adapters_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<StoredEvent>> events_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, Batch> batches_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
