#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "common/logger.h"
#include "trainer/collective.h"

namespace evilmoe {

struct FollowerOptions {
  std::filesystem::path run_directory;  // where rank 0 keeps its checkpoints, unless it names another
  int threads = 1;
};

// The life of every rank but rank 0: does what rank 0 says (rank_messages.h) until it says to leave. Reads the run's
// checkpoints, writes nothing and talks to nobody else. A job that cannot be loaded ends it only when rank 0 could load
// it and goes on. Errors: Collective's, DataLoss of a message, and those of the model, as rank 0 has them.
absl::Status FollowRankZero(const FollowerOptions& options, Collective& ranks, Logger& logger);

}  // namespace evilmoe
