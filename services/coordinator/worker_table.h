#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "services/coordinator/coordinator_types.h"

namespace evilmoe {

struct WorkerView;

// The rollout workers that this life of the coordinator has heard of, and which adapters each said it holds. Nothing
// of it is durable: after a restart a worker registers and acknowledges again. Not thread-safe.
class WorkerTable {
 public:
  // Registers a worker, or notes that it lives.
  void Heartbeat(const std::string& worker_id, const std::string& host, absl::Time now);
  // Notes that a worker lives, if it is registered.
  void Touch(const std::string& worker_id, absl::Time now);
  bool IsRegistered(const std::string& worker_id) const { return workers_.contains(worker_id); }
  // Registered, or there is room for one more.
  bool MayRegister(const std::string& worker_id) const {
    return workers_.size() < kMaxWorkers || IsRegistered(worker_id);
  }

  // Registers the worker too. The last kMaxHeld acknowledgements count.
  void Acknowledge(const std::string& worker_id, const AdapterName& adapter, absl::Time now);
  bool Holds(const std::string& worker_id, const std::string& run_id, const std::string& sha256) const;

  // Which run a registered worker sampled for last; "" = none.
  void SetLastRun(const std::string& worker_id, const std::string& run_id);
  const std::string& LastRun(const std::string& worker_id) const;
  // A registered worker whose base model is not the run's gets no more of its groups.
  void SetUnfit(const std::string& worker_id, const std::string& run_id);
  bool IsUnfit(const std::string& worker_id, const std::string& run_id) const;

  // True once for a registered worker that was last heard of before `time`; again only after it was heard of anew.
  bool NoteLost(const std::string& worker_id, absl::Time time);

  int NumSeenSince(absl::Time time) const;
  std::vector<WorkerView> SeenSince(absl::Time time) const;
  // Forgets workers that were last heard of before `time`.
  void ForgetBefore(absl::Time time);

  static constexpr size_t kMaxHeld = 64;
  static constexpr size_t kMaxWorkers = 16384;  // ids come from outside; one that is silent is forgotten

 private:
  struct Worker {
    absl::Time seen;
    bool lost = false;
    std::string host;
    std::deque<AdapterName> held;  // newest last
    std::string last_run;
    std::set<std::string> unfit;  // runs
  };
  std::map<std::string, Worker> workers_;
};

}  // namespace evilmoe
