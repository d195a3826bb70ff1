#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/security/channel_security.h"

namespace evilmoe {

// What `evilmoe-rollout --config FILE` reads.
struct RolloutWorkerConfig {
  std::string coordinator;           // address: "unix:/path" or "host:port"
  std::string grader;                // address
  ChannelSecurity security;          // of the channels to both
  std::string worker_id;             // names the worker; the process adds its own suffix
  std::filesystem::path log;         // empty: standard error
  std::string metrics_listen;        // "127.0.0.1:0"; empty: no metrics
  std::filesystem::path ready_file;  // gets {"pid", "metrics_port"}; empty: none
  int threads = 1;                   // of LibTorch and the sampler, [1, 256]
  int max_samples = 128;             // on their way at a time, [1, 4096]
  int64_t kv_cache_mib = 1024;       // memory for keys and values, at most, [1, 2^20]; samples beyond it wait
  int grade_threads = 4;             // grades in flight, [1, 256]
  // Folder that the workers of a host share, so that each adapter is fetched once; empty: kept in memory alone.
  std::filesystem::path adapter_cache;
  // Seconds that a worker which is asked to end has for the groups in flight, [0, 86400]. Whoever ends it by force
  // should wait two seconds longer.
  int drain_s = 3;
};

// InvalidArgument lists every problem with its line and column.
absl::StatusOr<RolloutWorkerConfig> ParseRolloutWorkerConfig(std::string_view yaml, const std::string& file_name);

}  // namespace evilmoe
