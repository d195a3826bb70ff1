#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/security/listen_config.h"

namespace evilmoe {

// evilmoe-coordinator's config file. Paths are relative to the file.
struct CoordinatorConfig {
  // Addresses, tls, tokens, insecure, limits. A message may be as large as a batch: 4,096 groups of 1,536 prompt tokens
  // are 19 MB, their problems with their tests several times that.
  ListenConfig listen = {.limits = {.message_mib = 256}};
  std::filesystem::path database;  // created when absent
  std::filesystem::path log;       // empty = standard error
  std::string metrics_listen;      // "127.0.0.1:0" takes a free port; empty = no metrics
  std::filesystem::path ready_file;  // written once it serves: {"pid", "metrics_port"}; empty = none
  double lease_timeout_s = 60;     // [1, 86400]; a worker not heard of for so long loses its groups
};

// InvalidArgument: one line a problem.
absl::StatusOr<CoordinatorConfig> ParseCoordinatorConfig(std::string_view yaml, const std::string& file_name,
                                                         const std::filesystem::path& base_folder);

}  // namespace evilmoe
