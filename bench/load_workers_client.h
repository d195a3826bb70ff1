#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

// Many rollout workers in one process: real calls over a connection each, no sampling. For bench/coordinator_load.

struct LoadOptions {
  std::string address;
  std::string config_yaml;  // of the run
  int workers = 1000;
  int samples = 8;          // a group
  int tokens = 16;          // a sample
  int prompt_tokens = 64;
  int groups_per_batch = 2000;
  int open_batches = 3;
  int64_t groups = 0;       // to complete; 0 = as many as `seconds` allow
  double seconds = 10;      // of measurement, after a tenth of warming up
  double rate = 0;          // arrivals of pairs a second (Poisson); 0 = closed loop: each worker begins when it has ended
};

struct LoadResult {
  int64_t pairs = 0;
  double seconds = 0;
  std::vector<double> lease_ms, complete_ms;  // sorted; in an open loop from the arrival on
  int64_t late_arrivals = 0;                  // no worker was free for them at once
};

// Runs against a coordinator that serves. Any refused call is an error: nothing may be lost or counted twice; at the end
// every group that was opened has been fetched exactly once.
absl::StatusOr<LoadResult> RunLoad(const LoadOptions& options);

}  // namespace evilmoe
