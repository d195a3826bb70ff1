#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>

#include "absl/status/statusor.h"

namespace evilmoe {

// The offline verb `replay`: one step of a run done again and compared with what the run recorded.
struct ReplayOptions {
  std::filesystem::path run;  // a run's directory
  int64_t step = 0;           // steps done after it, as in metrics.jsonl
  int threads = 1;            // those of the run's trainer, for the same bits
};

// Prints every figure of every step that it did. True: all of them are equal bit for bit. One line: NotFound (no run,
// no such step, rollouts or model gone), InvalidArgument, FailedPrecondition (rollouts of an earlier version),
// DataLoss.
absl::StatusOr<bool> RunReplay(const ReplayOptions& options, std::ostream& out);

// As evilmoe-ctl: 0 equal; 1 not equal, or a file is broken; 2 bad input; 4 something is not there; 5 refused.
int ReplayExitCode(const absl::StatusOr<bool>& equal);

}  // namespace evilmoe
