#include "services/coordinator/coordinator_metrics.h"

namespace evilmoe {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

// The last ones are for long polls.
const prometheus::Histogram::BucketBoundaries kSeconds = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30};

}  // namespace

CoordinatorMetrics::CoordinatorMetrics(prometheus::Registry& registry)
    : runs(BuildGauge().Name("evilmoe_coordinator_runs").Help("Runs by state").Register(registry)),
      leases(BuildCounter()
                 .Name("evilmoe_coordinator_leases_total")
                 .Help("Leases by what became of them; given back: by reason")
                 .Register(registry)),
      workers(BuildGauge()
                  .Name("evilmoe_coordinator_workers")
                  .Help("Rollout workers heard of within the lease timeout; trainers that hold a job")
                  .Register(registry)),
      rpc_seconds(BuildHistogram()
                      .Name("evilmoe_coordinator_rpc_seconds")
                      .Help("Duration of calls, long polls with their wait")
                      .Register(registry)),
      adapter_refused(BuildCounter()
                          .Name("evilmoe_coordinator_adapter_refused_total")
                          .Help("Groups and acknowledgements refused for their adapter's hash")
                          .Register(registry)),
      leases_open(
          BuildGauge().Name("evilmoe_coordinator_leases_open").Help("Leases held now").Register(registry).Add({})),
      disk_free_bytes(BuildGauge()
                          .Name("evilmoe_coordinator_disk_free_bytes")
                          .Help("Free space where the runs are")
                          .Register(registry)
                          .Add({})),
      disk_size_bytes(BuildGauge()
                          .Name("evilmoe_coordinator_disk_size_bytes")
                          .Help("Size of the file system where the runs are")
                          .Register(registry)
                          .Add({})),
      groups_waiting(BuildGauge()
                         .Name("evilmoe_coordinator_groups_waiting")
                         .Help("Groups that wait for a worker")
                         .Register(registry)
                         .Add({})),
      calls_waiting(BuildGauge()
                        .Name("evilmoe_coordinator_calls_waiting")
                        .Help("Long polls that wait for something to happen")
                        .Register(registry)
                        .Add({})),
      commits(BuildCounter()
                  .Name("evilmoe_coordinator_store_commits_total")
                  .Help("Transactions of the store")
                  .Register(registry)
                  .Add({})),
      store_failures(BuildCounter()
                         .Name("evilmoe_coordinator_store_failures_total")
                         .Help("Transactions that the store could not take and that were tried again")
                         .Register(registry)
                         .Add({})),
      workers_lost(BuildCounter()
                       .Name("evilmoe_coordinator_workers_lost_total")
                       .Help("Rollout workers that fell silent while they held groups")
                       .Register(registry)
                       .Add({})),
      leases_granted(leases.Add({{"outcome", "granted"}})),
      leases_completed(leases.Add({{"outcome", "completed"}})),
      leases_expired(leases.Add({{"outcome", "expired"}})),
      leases_dropped(leases.Add({{"outcome", "dropped"}})),
      leases_lost(leases.Add({{"outcome", "lost"}})),
      refused_foreign(adapter_refused.Add({{"reason", "foreign"}})),
      refused_stale(adapter_refused.Add({{"reason", "stale"}})),
      refused_late(adapter_refused.Add({{"reason", "late"}})),
      refused_unacknowledged(adapter_refused.Add({{"reason", "unacknowledged"}})),
      rollout_workers(workers.Add({{"kind", "rollout"}})),
      trainers(workers.Add({{"kind", "trainer"}})),
      run_progress_(BuildGauge()
                        .Name("evilmoe_coordinator_run_progress_timestamp_seconds")
                        .Help("When a run that a trainer holds had its last event")
                        .Register(registry)) {}

prometheus::Histogram& CoordinatorMetrics::RpcSeconds(const std::string& method) {
  return rpc_seconds.Add({{"method", method}}, kSeconds);
}

void CoordinatorMetrics::SetProgress(const std::map<std::string, absl::Time>& progress) {
  MutexLock lock(mu_);
  for (auto it = progress_of_run_.begin(); it != progress_of_run_.end();) {
    if (progress.contains(it->first)) {
      ++it;
      continue;
    }
    run_progress_.Remove(it->second);
    it = progress_of_run_.erase(it);
  }
  for (const auto& [run_id, time] : progress) {
    prometheus::Gauge*& gauge = progress_of_run_[run_id];
    if (gauge == nullptr) gauge = &run_progress_.Add({{"run", run_id}});
    gauge->Set(absl::ToDoubleSeconds(time - absl::UnixEpoch()));
  }
}

}  // namespace evilmoe
