#include "rollout_workers/rollout_config.h"

#include "common/status_macros.h"
#include "common/yaml_reader.h"

namespace evilmoe {

absl::StatusOr<RolloutWorkerConfig> ParseRolloutWorkerConfig(std::string_view yaml, const std::string& file_name) {
  RolloutWorkerConfig config;
  YamlReader reader(yaml, file_name);
  YamlSection root = reader.Root();
  root.Field("coordinator", &config.coordinator).Required("the coordinator's address");
  root.Field("grader", &config.grader).Required("the grader's address");
  ReadChannelSecurity(root, {{"coordinator", config.coordinator}, {"grader", config.grader}}, config.security);
  root.Field("worker_id", &config.worker_id).Required("a name");
  root.Field("log", &config.log);
  root.Field("metrics_listen", &config.metrics_listen);
  root.Field("ready_file", &config.ready_file);
  root.Field("threads", &config.threads).Range(1, 256);
  root.Field("max_samples", &config.max_samples).Range(1, 4096);
  root.Field("kv_cache_mib", &config.kv_cache_mib).Range(1, 1 << 20);
  root.Field("grade_threads", &config.grade_threads).Range(1, 256);
  root.Field("adapter_cache", &config.adapter_cache);
  root.Field("drain_s", &config.drain_s).Range(0, 86400);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  return config;
}

}  // namespace evilmoe
