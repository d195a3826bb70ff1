#pragma once

#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "proto/coordinator_client.h"
#include "rollout_workers/adapter_cache.h"
#include "rollout_workers/base_model_check.h"
#include "rollout_workers/group_in_flight.h"
#include "rollout_workers/group_outbox.h"
#include "rollout_workers/rollout_metrics.h"
#include "rollout_workers/run_model.h"
#include "rollout_workers/worker_session.h"

namespace evilmoe {

// Groups that are leased, and all that sampling them takes.
struct LeasedGroups {
  v1::LeaseGroupsResponse response;
  RunModel model;       // of the run
  std::string adapter;  // its bytes, acknowledged; empty: the sampling thread has it
};

// What sampling and leasing share.
struct LeasingParts {
  CoordinatorClient& coordinator;
  WorkerSession& session;
  GroupsInFlight& in_flight;
  GroupOutbox& outbox;
  AdapterCache& adapters;
  BaseModelCheck& base_models;
  RolloutMetrics& metrics;
  const Clock& clock;
  Logger& logger;
};

// Gets groups for the sampling thread, one at a time, so that workers share a batch evenly, and only while it wants
// one. Everything that waits for somebody else (a lease, an adapter's bytes) is done here, on a thread of its own, so
// samples that are on their way do not stop for it. A lease counts as held from its first moment: heartbeats renew it
// meanwhile. Groups that cannot be made ready are given back; the next lease then waits a while. Thread-safe.
class Leasing {
 public:
  // The parts must outlive it.
  explicit Leasing(const LeasingParts& parts) : parts_(parts) {}

  // Leases until stopped, or until no call will ever work. A call that waits for a group is not cut short by the stop:
  // it might have been given one on its way. Takes kLeaseWait to end, for that.
  void Loop(const std::stop_token& stop);
  // Waits until Loop() has ended, `timeout` at most; says whether it has, so that nothing more is leased.
  bool AwaitEnd(absl::Duration timeout);

  static constexpr absl::Duration kLeaseWait = absl::Seconds(1);

  // The sampling thread has room for a group, and holds these adapters. Until Take() gives one.
  void Want(const std::vector<std::string>& held_adapters);
  // A group that is ready; waits for one, `timeout` at most.
  std::optional<LeasedGroups> Take(absl::Duration timeout);
  // Wakes Take().
  void Wake();

 private:
  bool AwaitWanted(const std::stop_token& stop);
  // Leases and makes ready. False: not this time, and the next time should not follow at once.
  bool LeaseOnce(const std::stop_token& stop);
  absl::Status Prepare(LeasedGroups& groups, const std::stop_token& stop);
  absl::Status CheckModel(LeasedGroups& groups);
  absl::Status FetchAdapter(LeasedGroups& groups, const std::stop_token& stop);
  // Tries again while the coordinator is away and the leases are ours.
  absl::Status Persist(const LeasedGroups& groups, const std::stop_token& stop,
                       const std::function<absl::Status()>& what);
  bool AnyHeld(const LeasedGroups& groups) const;
  void GiveBack(const LeasedGroups& groups, const absl::Status& why, const std::stop_token& stop);

  const LeasingParts parts_;
  std::string run_config_;  // that `model_` was read from; leasing thread only
  RunModel model_;          // leasing thread only
  Mutex mu_;
  bool wanted_ ABSL_GUARDED_BY(mu_) = false;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::set<std::string> held_ ABSL_GUARDED_BY(mu_);
  std::optional<LeasedGroups> ready_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
