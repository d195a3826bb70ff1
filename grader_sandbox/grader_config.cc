#include "grader_sandbox/grader_config.h"

#include "common/status_macros.h"
#include "common/yaml_reader.h"

namespace evilmoe {
absl::StatusOr<GraderConfig> ParseGraderConfig(std::string_view yaml, const std::string& file_name) {
  GraderConfig config;
  YamlReader reader(yaml, file_name);
  YamlSection root = reader.Root();
  ReadListenConfig(reader, root, config.listen);
  root.Field("slots", &config.slots).Range(0, 256);
  root.Field("queue_limit", &config.queue_limit).Range(0, 100'000);
  root.Field("cpu_limit_s", &config.cpu_limit_s).Range(0.1, 300);
  root.Field("drain_s", &config.drain_s).Range(0, 600);
  YamlSection sandbox = root.Section("sandbox");
  sandbox.Field("tier", &config.tier).OneOf({"auto", "A", "B", "C"});
  sandbox.Field("minimum_tier", &config.minimum_tier).OneOf({"A", "B", "C"});
  sandbox.Field("cgroups", &config.use_cgroups);
  root.Field("problems", &config.problems);
  root.Field("zygote", &config.zygote);
  root.Field("log", &config.log);
  root.Field("metrics_listen", &config.metrics_listen);
  root.Field("ready_file", &config.ready_file);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  return config;
}

}  // namespace evilmoe
