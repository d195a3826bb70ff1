#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/logger.h"

namespace evilmoe {

struct RankLaunch {
  std::filesystem::path binary;
  std::vector<std::string> arguments;  // "--rank R --store-port PORT" follow
  int num_ranks = 2;
  absl::Duration collective_timeout;  // > 0
  absl::Duration stop_grace;          // between SIGTERM to rank 0 and its end
};

// Serves the rank store, starts the ranks and watches them until all have ended. Call it on the main thread, with
// SIGTERM and SIGINT blocked; either is handed on to rank 0, which tells the others. Ends
//   OK                when rank 0 ended with exit code 0, or was ended after the grace time of a stop;
//   Unavailable       when a rank ended in any other way, DeadlineExceeded when one gave no sign of life for
//                     SilenceLimit() (rank_link.h) and was killed for it.
// After such an error no rank is left half a collective_timeout later: rank 0 is asked to stop, so that it may leave a
// checkpoint, then all are killed. Never restarts anything: whoever started this does.
absl::Status RunRanks(const RankLaunch& launch, Logger& logger);

}  // namespace evilmoe
