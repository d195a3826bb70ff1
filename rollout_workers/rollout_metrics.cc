#include "rollout_workers/rollout_metrics.h"

namespace evilmoe {
namespace {

prometheus::Gauge& AddGauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

RolloutMetrics::RolloutMetrics(prometheus::Registry& registry)
    : tokens(prometheus::BuildCounter()
                 .Name("evilmoe_rollout_tokens_total")
                 .Help("Tokens sampled.")
                 .Register(registry)
                 .Add({})),
      running(AddGauge(registry, "evilmoe_rollout_running", "Samples in the batch now.")),
      waiting(AddGauge(registry, "evilmoe_rollout_waiting", "Finished samples that wait for their grade.")),
      kv_cache_usage_ratio(AddGauge(registry, "evilmoe_rollout_kv_cache_usage_ratio", "Share of the KV cache in use.")),
      prefix_hit_ratio(AddGauge(registry, "evilmoe_rollout_prefix_hit_ratio",
                                "Share of needed prompt positions found in the KV cache, since the start.")),
      adapter_step(AddGauge(registry, "evilmoe_rollout_adapter_step", "Training step of the newest adapter held.")),
      group_seconds(prometheus::BuildHistogram()
                        .Name("evilmoe_rollout_group_seconds")
                        .Help("Seconds from a group's lease to its completion.")
                        .Register(registry)
                        .Add({}, prometheus::Histogram::BucketBoundaries{0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128})),
      reconnects(prometheus::BuildCounter()
                     .Name("evilmoe_rollout_reconnects_total")
                     .Help("Times that the coordinator was away and came back.")
                     .Register(registry)
                     .Add({})),
      adapter_bytes(prometheus::BuildCounter()
                        .Name("evilmoe_rollout_adapter_fetch_bytes_total")
                        .Help("Bytes of adapters taken in, by where they came from.")
                        .Register(registry)),
      adapter_bytes_sent(adapter_bytes.Add({{"source", "network"}})),
      adapter_bytes_cached(adapter_bytes.Add({{"source", "cache"}})),
      groups(prometheus::BuildCounter()
                 .Name("evilmoe_rollout_groups_total")
                 .Help("Groups by what became of them.")
                 .Register(registry)),
      groups_completed(groups.Add({{"outcome", "completed"}})),
      groups_taken(groups.Add({{"outcome", "taken"}})),
      groups_refused(groups.Add({{"outcome", "refused"}})),
      groups_given_back(groups.Add({{"outcome", "given_back"}})) {}

}  // namespace evilmoe
