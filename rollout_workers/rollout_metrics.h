#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace evilmoe {

struct RolloutMetrics {
  explicit RolloutMetrics(prometheus::Registry& registry);

  prometheus::Counter& tokens;              // evilmoe_rollout_tokens_total
  prometheus::Gauge& running;               // evilmoe_rollout_running: samples in the batch
  prometheus::Gauge& waiting;               // evilmoe_rollout_waiting: samples whose grade is out
  prometheus::Gauge& kv_cache_usage_ratio;  // evilmoe_rollout_kv_cache_usage_ratio
  prometheus::Gauge& prefix_hit_ratio;      // evilmoe_rollout_prefix_hit_ratio
  prometheus::Gauge& adapter_step;          // evilmoe_rollout_adapter_step: of the newest adapter held
  prometheus::Histogram& group_seconds;     // evilmoe_rollout_group_seconds: lease to completion
  prometheus::Counter& reconnects;          // evilmoe_rollout_reconnects_total

  prometheus::Family<prometheus::Counter>& adapter_bytes;  // evilmoe_rollout_adapter_fetch_bytes_total{source}
  prometheus::Counter& adapter_bytes_sent;                 // "network"
  prometheus::Counter& adapter_bytes_cached;               // "cache"

  prometheus::Family<prometheus::Counter>& groups;  // evilmoe_rollout_groups_total{outcome}
  prometheus::Counter& groups_completed;
  prometheus::Counter& groups_taken;    // the lease was not ours any more; an earlier try may have completed it
  prometheus::Counter& groups_refused;  // for good
  prometheus::Counter& groups_given_back;
};

}  // namespace evilmoe
