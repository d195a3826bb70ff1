#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace evilmoe {

// evilmoe-coordinator's config file. Paths are relative to the file.
struct CoordinatorConfig {
  std::string listen;              // "unix:/path" (at most 107 bytes of path) or "127.0.0.1:port"; loopback only
  std::filesystem::path database;  // created when absent
  std::filesystem::path log;       // empty = standard error
  std::string metrics_listen;      // "127.0.0.1:0" takes a free port; empty = no metrics
  std::filesystem::path ready_file;  // written once it serves: {"pid", "metrics_port"}; empty = none
  double lease_timeout_s = 60;     // [1, 86400]; a worker not heard of for so long loses its groups
  double trainer_timeout_s = 60;   // [1, 86400]; a trainer not heard of for so long may lose its job
  int device_slots = 0;            // of trainers, that running jobs use together; [0, 4096], 0 = no limit
};

// InvalidArgument: one line a problem.
absl::StatusOr<CoordinatorConfig> ParseCoordinatorConfig(std::string_view yaml, const std::string& file_name,
                                                         const std::filesystem::path& base_folder);

// The path behind "unix:", or "".
std::string UnixSocketPath(const std::string& listen);

}  // namespace evilmoe
