#include "trainer/trainer_config.h"

#include "common/status_macros.h"
#include "common/yaml_reader.h"

namespace evilmoe {

absl::StatusOr<TrainerConfig> ParseTrainerConfig(std::string_view yaml, const std::string& file_name) {
  TrainerConfig config;
  YamlReader reader(yaml, file_name);
  YamlSection root = reader.Root();
  root.Field("coordinator", &config.coordinator).Required("the coordinator's address");
  ReadChannelSecurity(root, {{"coordinator", config.coordinator}}, config.security);
  root.Field("run_directory", &config.run_directory);
  root.Field("trainer_id", &config.trainer_id).Required("a name");
  root.Field("log", &config.log);
  root.Field("metrics_listen", &config.metrics_listen);
  root.Field("ready_file", &config.ready_file);
  root.Field("device", &config.device).OneOf({"auto", "cpu", "cuda"});
  root.Field("threads", &config.threads).Range(1, 256);
  root.Field("ranks", &config.ranks).Range(1, 64);
  root.Field("collective_timeout_s", &config.collective_timeout_s).Range(0.1, 86400);
  root.Field("stop_grace_s", &config.stop_grace_s).Above(0).Check(config.stop_grace_s <= 3600, "at most 3600");
  root.Field("stall_timeout_s", &config.stall_timeout_s).Above(0);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  return config;
}

}  // namespace evilmoe
