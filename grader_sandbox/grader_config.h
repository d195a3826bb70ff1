#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/security/listen_config.h"

namespace evilmoe {

// What `evilmoe-grader --config FILE` reads.
struct GraderConfig {
  ListenConfig listen;               // addresses, tls, tokens, insecure, limits (64 MiB a message)
  int slots = 0;                     // runs at a time, [1, 256]; 0 = one for each core
  int queue_limit = 1024;            // samples that may wait, [0, 100000]
  double cpu_limit_s = 3;            // of a run, [0.1, 300]; four times the canonical solution's, if that is more
  std::string tier = "auto";         // sandbox.tier: auto (the best that is offered), A, B or C
  std::string minimum_tier = "C";    // sandbox.minimum_tier: do not start with less
  bool use_cgroups = true;           // sandbox.cgroups: where there are any, in tier A
  double drain_s = 10;               // what is in flight at SIGTERM may take, [0, 600]
  std::filesystem::path problems;    // a problem file like those to come: its setup code is run beforehand; may be empty
  std::filesystem::path zygote;      // the evilmoe-zygote program; empty: beside this one
  std::filesystem::path log;         // empty: standard error
  std::string metrics_listen;        // "127.0.0.1:0"; empty: no metrics
  std::filesystem::path ready_file;  // gets {"pid", "metrics_port", "ports"} once it serves; empty: none
};

// InvalidArgument lists every problem with its line and column.
absl::StatusOr<GraderConfig> ParseGraderConfig(std::string_view yaml, const std::string& file_name);

}  // namespace evilmoe
