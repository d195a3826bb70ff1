#include "services/coordinator/coordinator_config.h"

#include "common/status_macros.h"
#include "common/yaml_reader.h"
#include "proto/security/address.h"
#include "services/coordinator/open_store.h"

namespace evilmoe {
namespace {

void Read(const YamlReader& reader, YamlSection root, CoordinatorConfig& config) {
  ReadListenConfig(reader, root, config.listen);
  root.Field("database", &config.database).Required("a path, or postgresql://...");
  root.Field("runs", &config.runs);
  std::vector<std::string> roots;
  root.Field("roots", &roots);
  config.roots.assign(roots.begin(), roots.end());
  root.Field("judge_key_variables", &config.judge_key_variables);
  root.Field("judge_endpoints", &config.judge_endpoints);
  root.Field("log", &config.log);
  root.Field("metrics_listen", &config.metrics_listen)
      .Check(config.metrics_listen.empty() || IsTcpAddress(config.metrics_listen), "host:port, or nothing");
  root.Field("page_listen", &config.page_listen)
      .Check(config.page_listen.empty() || IsTcpAddress(config.page_listen), "host:port, or nothing");
  root.Field("page_client_certificates", &config.page_client_certificates);
  root.Field("page_hosts", &config.page_hosts);
  if (IsTcpAddress(config.page_listen)) CheckReach(root, "page_listen", {config.page_listen}, config.listen.security);
  root.Field("ready_file", &config.ready_file);
  root.Field("lease_timeout_s", &config.lease_timeout_s).Range(1, 86400);
  root.Field("trainer_timeout_s", &config.trainer_timeout_s).Range(1, 86400);
  root.Field("device_slots", &config.device_slots).Range(0, 4096);
}

}  // namespace

absl::StatusOr<CoordinatorConfig> ParseCoordinatorConfig(std::string_view yaml, const std::string& file_name,
                                                         const std::filesystem::path& base_folder) {
  CoordinatorConfig config;
  YamlReader reader(yaml, file_name);
  Read(reader, reader.Root(), config);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  for (std::filesystem::path* path : {&config.log, &config.ready_file}) {
    if (!path->empty()) *path = base_folder / *path;
  }
  config.runs = base_folder / (config.runs.empty() ? "runs" : config.runs);
  for (std::filesystem::path& root : config.roots) root = base_folder / root;
  if (!IsPostgresUri(config.database)) config.database = (base_folder / config.database).string();
  config.listen.ResolvePaths(base_folder);
  return config;
}

}  // namespace evilmoe
