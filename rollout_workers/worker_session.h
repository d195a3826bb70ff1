#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "proto/coordinator_client.h"
#include "rollout_workers/group_in_flight.h"
#include "rollout_workers/rollout_metrics.h"

namespace evilmoe {

// A worker's standing with its coordinator: registered, heard of, and which adapters it has said to hold. Outlives a
// coordinator that is away or starts again: it registers and acknowledges again, and learns which leases it lost.
// Thread-safe. Everything it is given must outlive it.
class WorkerSession {
 public:
  WorkerSession(std::string worker_id, CoordinatorClient& coordinator, GroupsInFlight& in_flight,
                RolloutMetrics& metrics, const Clock& clock, Logger& logger);

  const std::string& worker_id() const { return worker_id_; }

  // Registers; tries for as long as it takes. Cancelled: stopped. Else why the coordinator will never have us.
  absl::Status Begin(const std::stop_token& stop);
  // Sends heartbeats until stopped, four in a lease timeout; while none gets through, at growing intervals up to 10 s.
  void HeartbeatLoop(const std::stop_token& stop);

  // An empty list: nothing to do. Registers again where the coordinator has forgotten us.
  absl::StatusOr<v1::LeaseGroupsResponse> Lease(int max_groups, absl::Duration wait);
  // Says "I hold these bytes", unless that was said.
  absl::Status Acknowledge(const v1::AdapterVersion& version);
  // Hands a group in; acknowledges its adapter again where the coordinator has forgotten that.
  absl::Status Complete(const v1::CompleteGroupRequest& request);
  absl::Status Abandon(const v1::AbandonGroupRequest& request);
  // Takes note of what another call to the coordinator came to: see failure(). Returns that.
  absl::Status Note(absl::Status status);

  // Why no call will ever work (a wrong token, for one); OK while one may.
  absl::Status failure() const;
  // Leases lost since the last call, which are not in flight any more: nobody waits for their samples.
  std::vector<int64_t> TakeLost();

 private:
  absl::Duration heartbeat_interval() const;
  absl::Status SendHeartbeat();
  absl::Status CallHeartbeat();
  void NoteAway(const absl::Status& status);
  void NoteLost(const v1::HeartbeatResponse& response);
  // After a time in which the coordinator may have forgotten everything about us.
  void ComeBack(absl::Duration away);

  const std::string worker_id_;
  const std::string host_;
  CoordinatorClient& coordinator_;
  GroupsInFlight& in_flight_;
  RolloutMetrics& metrics_;
  const Clock& clock_;
  Logger& logger_;

  mutable Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Time> away_since_ ABSL_GUARDED_BY(mu_);  // the first heartbeat that did not get through
  absl::Duration heartbeat_interval_ ABSL_GUARDED_BY(mu_) = absl::Milliseconds(2500);
  std::set<std::string> acknowledged_ ABSL_GUARDED_BY(mu_);  // run/sha256
  std::vector<int64_t> lost_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
