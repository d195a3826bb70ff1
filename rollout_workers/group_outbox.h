#pragma once

#include <cstdint>
#include <deque>
#include <stop_token>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "evilmoe/v1/coordinator.pb.h"
#include "rollout_workers/group_in_flight.h"
#include "rollout_workers/rollout_metrics.h"
#include "rollout_workers/worker_session.h"

namespace evilmoe {

// What the coordinator is to be told of leases: this group is finished, that one is given back. What cannot be said now
// is kept and said later, while heartbeats keep its lease; an answer that names the lease as somebody else's settles
// it, since it may be the answer to an earlier try which got lost. Thread-safe. Everything it is given must outlive it.
class GroupOutbox {
 public:
  GroupOutbox(WorkerSession& session, GroupsInFlight& in_flight, RolloutMetrics& metrics, const Clock& clock,
              Logger& logger);

  // Of a lease that is in flight, which ends with the coordinator's answer.
  void HandIn(int64_t lease_id, GroupsInFlight::Finished finished);
  // Ends a lease: it is in flight no longer. Nothing is said of one that was gone already. `reason`: as AbandonGroup.
  void GiveBack(int64_t lease_id, const std::string& reason, const std::string& detail);

  // Says one thing after another until stopped.
  void Loop(const std::stop_token& stop);
  // From now on tries again at once: the worker is about to end.
  void Hurry();
  // Things that are still to be said; whoever leases should wait while they are many.
  size_t num_waiting() const;
  // Waits until all is said, `timeout` at most; says whether it is.
  bool AwaitEmpty(absl::Duration timeout);

 private:
  struct Item {
    int64_t lease_id = 0;
    std::variant<v1::CompleteGroupRequest, v1::AbandonGroupRequest> request;
    absl::Time begun;
    int num_tries = 0;
  };
  void Put(Item item);
  absl::Status Say(const Item& item);
  // False: to be said again later.
  bool Settle(const Item& item, const absl::Status& answer);
  bool SettleCompletion(const Item& item, const absl::Status& answer);
  v1::AbandonGroupRequest Abandonment(int64_t lease_id, const std::string& reason, const std::string& detail) const;

  WorkerSession& session_;
  GroupsInFlight& in_flight_;
  RolloutMetrics& metrics_;
  const Clock& clock_;
  Logger& logger_;
  mutable Mutex mu_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mu_);
  bool saying_ ABSL_GUARDED_BY(mu_) = false;  // one more item, which is on its way
  bool hurry_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace evilmoe
