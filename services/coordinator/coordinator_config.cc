#include "services/coordinator/coordinator_config.h"

#include "common/status_macros.h"
#include "common/yaml_reader.h"
#include "proto/security/address.h"

namespace evilmoe {
namespace {

void Read(const YamlReader& reader, YamlSection root, CoordinatorConfig& config) {
  ReadListenConfig(reader, root, config.listen);
  root.Field("database", &config.database).Required("a path");
  root.Field("log", &config.log);
  root.Field("metrics_listen", &config.metrics_listen)
      .Check(config.metrics_listen.empty() || IsLoopbackAddress(config.metrics_listen), "127.0.0.1:port, or nothing");
  root.Field("ready_file", &config.ready_file);
  root.Field("lease_timeout_s", &config.lease_timeout_s).Range(1, 86400);
}

}  // namespace

absl::StatusOr<CoordinatorConfig> ParseCoordinatorConfig(std::string_view yaml, const std::string& file_name,
                                                         const std::filesystem::path& base_folder) {
  CoordinatorConfig config;
  YamlReader reader(yaml, file_name);
  Read(reader, reader.Root(), config);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  for (std::filesystem::path* path : {&config.database, &config.log, &config.ready_file}) {
    if (!path->empty()) *path = base_folder / *path;
  }
  config.listen.ResolvePaths(base_folder);
  return config;
}

}  // namespace evilmoe
