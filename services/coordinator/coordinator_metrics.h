#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace evilmoe {

// What the coordinator measures; names and labels in docs. `registry` must outlive it. Thread-safe.
struct CoordinatorMetrics {
  explicit CoordinatorMetrics(prometheus::Registry& registry);

  // Seconds that a method took, long polls with their wait.
  prometheus::Histogram& RpcSeconds(const std::string& method);
  // evilmoe_coordinator_run_progress_timestamp_seconds{run}: when each run that a trainer holds had its last event, by
  // run id. A run that is not named any more has no such metric.
  void SetProgress(const std::map<std::string, absl::Time>& progress);

  prometheus::Family<prometheus::Gauge>& runs;              // evilmoe_coordinator_runs{state}
  prometheus::Family<prometheus::Counter>& leases;          // evilmoe_coordinator_leases_total{outcome}
  prometheus::Family<prometheus::Gauge>& workers;           // evilmoe_coordinator_workers{kind}
  prometheus::Family<prometheus::Histogram>& rpc_seconds;   // evilmoe_coordinator_rpc_seconds{method}
  prometheus::Family<prometheus::Counter>& adapter_refused;  // evilmoe_coordinator_adapter_refused_total{reason}
  prometheus::Gauge& leases_open;                           // evilmoe_coordinator_leases_open
  prometheus::Gauge& disk_free_bytes;                       // evilmoe_coordinator_disk_free_bytes
  prometheus::Gauge& disk_size_bytes;                       // evilmoe_coordinator_disk_size_bytes
  prometheus::Gauge& groups_waiting;                        // evilmoe_coordinator_groups_waiting
  prometheus::Gauge& calls_waiting;                         // evilmoe_coordinator_calls_waiting
  prometheus::Counter& commits;                             // evilmoe_coordinator_store_commits_total
  prometheus::Counter& store_failures;                      // evilmoe_coordinator_store_failures_total
  prometheus::Counter& workers_lost;                        // evilmoe_coordinator_workers_lost_total

  prometheus::Counter& leases_granted;
  prometheus::Counter& leases_completed;
  prometheus::Counter& leases_expired;
  prometheus::Counter& leases_dropped;  // their batch or run ended first
  prometheus::Counter& leases_lost;     // given up: the group was lost too often
  prometheus::Counter& refused_foreign;
  prometheus::Counter& refused_stale;
  prometheus::Counter& refused_late;  // an acknowledgement of what no open batch uses any more
  prometheus::Counter& refused_unacknowledged;
  prometheus::Gauge& rollout_workers;
  prometheus::Gauge& trainers;

 private:
  prometheus::Family<prometheus::Gauge>& run_progress_;
  Mutex mu_;
  std::map<std::string, prometheus::Gauge*> progress_of_run_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
