#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/security/channel_security.h"

namespace evilmoe {

// What `evilmoe-trainer --config FILE` reads.
struct TrainerConfig {
  std::string coordinator;              // address: "unix:/path" or "host:port"
  ChannelSecurity security;             // of the channel to it
  std::filesystem::path run_directory;  // where checkpoints and records go; empty: where the job's run says
  std::string trainer_id;               // the same over all its lives, another for every trainer
  std::filesystem::path log;            // empty: standard error
  std::string metrics_listen;           // "127.0.0.1:0"; empty: no metrics
  std::filesystem::path ready_file;     // gets {"pid", "metrics_port"}; empty: none
  std::string device = "auto";          // auto | cpu | cuda; auto: cuda where this build and machine have one
  int threads = 1;                      // of each rank, data-parallel over a step's samples, [1, 256]
  int ranks = 1;                        // processes that share each step, [1, 64]; from 2 on this one starts them
  double collective_timeout_s = 300;    // longer than a rank may be behind another within a step, >= 0.1
  double stop_grace_s = 4;              // from SIGTERM until it leaves without a checkpoint, > 0
  double stall_timeout_s = 900;         // a batch without a finished group for so long fails the job's try, > 0
};

// InvalidArgument lists every problem with its line and column.
absl::StatusOr<TrainerConfig> ParseTrainerConfig(std::string_view yaml, const std::string& file_name);

}  // namespace evilmoe
