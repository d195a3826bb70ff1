#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/logger.h"
#include "grader_sandbox/grader_interface.h"
#include "proto/coordinator_client.h"
#include "rollout_workers/group_in_flight.h"
#include "rollout_workers/group_runner.h"
#include "rollout_workers/policy_cache.h"
#include "rollout_workers/rollout_config.h"
#include "rollout_workers/rollout_metrics.h"

namespace evilmoe {

// A rollout worker's life: lease groups, make sure of their adapter, sample, grade each sample as it ends, hand the
// group in. One thread samples; `grade_threads` grade and hand in; one sends heartbeats. A lost lease is dropped, a
// grade that the infrastructure could not give abandons its group: the coordinator hands it out again.
class RolloutWorker {
 public:
  // References must outlive it.
  RolloutWorker(const RolloutWorkerConfig& config, CoordinatorClient& coordinator, Grader& grader,
                RolloutMetrics& metrics, const Clock& clock, Logger& logger);
  ~RolloutWorker();

  // Works until stopped. Unavailable: the coordinator could not be reached within its client's budget.
  absl::Status Run(const std::stop_token& stop);

 private:
  struct Graded {  // a finished sample on its way to the grader
    int64_t lease_id = 0;
    FinishedSample sample;
    std::string text;
  };

  absl::Status Lease();
  absl::Status Adopt(const v1::LeaseGroupsResponse& response);
  absl::Status Prepare(const v1::LeaseGroupsResponse& response);
  absl::Status HoldAdapter(const v1::AdapterVersion& version);
  absl::Status AddGroup(const v1::Lease& lease, const v1::LeaseGroupsResponse& response);
  absl::Status SampleOneToken();
  void DropLostLeases();
  absl::Status SendHeartbeat();
  void HeartbeatLoop(const std::stop_token& stop);
  void GradeLoop(const std::stop_token& stop);
  void GradeOne(Graded item);
  void HandIn(int64_t lease_id, GroupsInFlight::Finished finished);
  void Abandon(int64_t lease_id, const std::string& reason, const std::string& error);
  void GiveBack(int64_t lease_id, const std::string& reason);

  const RolloutWorkerConfig config_;
  const std::string worker_id_;  // unique to this process's life
  CoordinatorClient& coordinator_;
  Grader& grader_;
  RolloutMetrics& metrics_;
  const Clock& clock_;
  Logger& logger_;

  PolicyCache policies_;
  GroupRunner runner_;
  GroupsInFlight in_flight_;
  std::string run_config_;              // that the model in use was read from; sampling thread only
  std::set<std::string> acknowledged_;  // sampling thread only
  int largest_group_ = 1;               // samples of the largest group seen; sampling thread only
  std::atomic<int> lease_timeout_ms_ = 10000;

  Mutex mu_;
  std::deque<Graded> to_grade_ ABSL_GUARDED_BY(mu_);
  std::vector<int64_t> lost_leases_ ABSL_GUARDED_BY(mu_);  // that the sampling thread has not dropped yet
  std::vector<std::jthread> threads_;                      // last: they use all of the above
};

}  // namespace evilmoe
