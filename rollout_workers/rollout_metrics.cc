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
      group_seconds(
          prometheus::BuildHistogram()
              .Name("evilmoe_rollout_group_seconds")
              .Help("Seconds from a group's lease to its completion.")
              .Register(registry)
              .Add({}, prometheus::Histogram::BucketBoundaries{0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128})) {}

}  // namespace evilmoe
