#pragma once

#include "absl/status/statusor.h"
#include "services/ctl/verbs.h"

namespace evilmoe {

// The verbs that look at runs, and `cancel`. Each returns the exit code, or an error for one line on the terminal.
absl::StatusOr<int> List(const CommandLine& command, const VerbContext& context);
absl::StatusOr<int> Get(const CommandLine& command, const VerbContext& context);
absl::StatusOr<int> Logs(const CommandLine& command, const VerbContext& context);
absl::StatusOr<int> Cancel(const CommandLine& command, const VerbContext& context);
absl::StatusOr<int> Report(const CommandLine& command, const VerbContext& context);
absl::StatusOr<int> Replay(const CommandLine& command, const VerbContext& context);  // becomes evilmoe-trainer
absl::StatusOr<int> Export(const CommandLine& command, const VerbContext& context);  // becomes evilmoe-trainer

}  // namespace evilmoe
