#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "grader_sandbox/grader_interface.h"
#include "proto/coordinator_client.h"
#include "rollout_workers/adapter_cache.h"
#include "rollout_workers/base_model_check.h"
#include "rollout_workers/grading_queue.h"
#include "rollout_workers/group_in_flight.h"
#include "rollout_workers/group_outbox.h"
#include "rollout_workers/group_runner.h"
#include "rollout_workers/leasing.h"
#include "rollout_workers/policy_cache.h"
#include "rollout_workers/rollout_config.h"
#include "rollout_workers/rollout_metrics.h"
#include "rollout_workers/worker_session.h"

namespace evilmoe {

// A rollout worker's life: lease groups, make sure of their adapter, sample, grade each sample as it ends, hand the
// group in. The caller's thread samples and talks to nobody; of the others one leases, `grade_threads` grade, one tells
// the coordinator what became of groups, one sends heartbeats. So samples go on while the coordinator is away, however
// long; what it missed is told when it is back.
class RolloutWorker {
 public:
  // References must outlive it. `coordinator` should have a small retry budget (the worker tries again by itself, for
  // as long as it lives) and no stop token: what it is told while it ends matters too.
  RolloutWorker(const RolloutWorkerConfig& config, CoordinatorClient& coordinator, Grader& grader,
                RolloutMetrics& metrics, const Clock& clock, Logger& logger);
  ~RolloutWorker();

  // Works until stopped; then leases nothing more, finishes what is in flight within config.drain_s, gives the rest
  // back and returns OK. Unauthenticated, PermissionDenied, Unimplemented: coordinator or grader will never have this
  // worker. ResourceExhausted, Internal: it cannot sample; its leases are given back.
  absl::Status Run(const std::stop_token& stop);

 private:
  void StartThreads();
  absl::Status Work();
  // Where there is room for one more group.
  void AskForGroups();
  // Takes `next_` into the batch, unless it must wait for other groups to end.
  absl::Status Adopt();
  // FailedPrecondition: this host does not have what the run is sampled with. DataLoss: the adapter is none.
  absl::Status Load(const LeasedGroups& groups);
  absl::Status AddGroup(const v1::Lease& lease, const v1::LeaseGroupsResponse& response);
  absl::Status SampleOneToken();
  void DropLostLeases();
  void Drain();
  void GiveAllBack(const std::string& why);

  const RolloutWorkerConfig config_;
  CoordinatorClient& coordinator_;
  Grader& grader_;
  RolloutMetrics& metrics_;
  const Clock& clock_;
  Logger& logger_;

  GroupsInFlight in_flight_;
  WorkerSession session_;
  GroupOutbox outbox_;
  GradingQueue grading_;
  AdapterCache adapters_;
  BaseModelCheck base_models_;
  Leasing leasing_;

  // Of the thread that samples.
  PolicyCache policies_;
  GroupRunner runner_;
  std::optional<LeasedGroups> next_;  // leased, and not yet in the batch
  bool asked_ = false;                // for groups; not answered yet
  int largest_group_ = 1;             // samples of the largest group seen

  std::jthread leasing_thread_;  // the threads last: they use all of the above
  std::vector<std::jthread> threads_;
};

}  // namespace evilmoe
