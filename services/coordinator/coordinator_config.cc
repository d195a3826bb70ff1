#include "services/coordinator/coordinator_config.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "common/yaml_reader.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxSocketPath = 107;

// "127.0.0.1:port", "localhost:port" or "[::1]:port".
bool IsLoopback(const std::string& address) {
  for (const std::string host : {"127.0.0.1:", "localhost:", "[::1]:"}) {
    if (!absl::StartsWith(address, host)) continue;
    int port = -1;
    return absl::SimpleAtoi(address.substr(host.size()), &port) && port >= 0 && port <= 65535;
  }
  return false;
}

bool IsUnix(const std::string& address) {
  const std::string path = UnixSocketPath(address);
  return path.size() > 1 && path.size() <= kMaxSocketPath && path[0] == '/';
}

void Read(YamlSection root, CoordinatorConfig& config) {
  root.Field("listen", &config.listen)
      .Required("unix:/path or 127.0.0.1:port")
      .Check(IsUnix(config.listen) || IsLoopback(config.listen),
             "unix:/path (absolute, at most 107 bytes) or 127.0.0.1:port; only loopback is served, since there is no "
             "TLS and no token yet");
  root.Field("database", &config.database).Required("a path");
  root.Field("log", &config.log);
  root.Field("metrics_listen", &config.metrics_listen)
      .Check(config.metrics_listen.empty() || IsLoopback(config.metrics_listen), "127.0.0.1:port, or nothing");
  root.Field("ready_file", &config.ready_file);
  root.Field("lease_timeout_s", &config.lease_timeout_s).Range(1, 86400);
  root.Field("trainer_timeout_s", &config.trainer_timeout_s).Range(1, 86400);
  root.Field("device_slots", &config.device_slots).Range(0, 4096);
}

}  // namespace

std::string UnixSocketPath(const std::string& listen) {
  return absl::StartsWith(listen, "unix:") ? listen.substr(5) : std::string();
}

absl::StatusOr<CoordinatorConfig> ParseCoordinatorConfig(std::string_view yaml, const std::string& file_name,
                                                         const std::filesystem::path& base_folder) {
  CoordinatorConfig config;
  YamlReader reader(yaml, file_name);
  Read(reader.Root(), config);
  EVILMOE_RETURN_IF_ERROR(reader.Finish());
  for (std::filesystem::path* path : {&config.database, &config.log, &config.ready_file}) {
    if (!path->empty()) *path = base_folder / *path;
  }
  return config;
}

}  // namespace evilmoe
