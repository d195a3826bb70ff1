#pragma once

#include "absl/status/statusor.h"
#include "services/ctl/verbs.h"

namespace evilmoe {

// The verbs that make a run go on, and follow it. Each returns the exit code, or an error for one line on the terminal.
absl::StatusOr<int> Submit(const CommandLine& command, const VerbContext& context);
absl::StatusOr<int> Ablate(const CommandLine& command, const VerbContext& context);
absl::StatusOr<int> Resume(const CommandLine& command, const VerbContext& context);

// Follows a run to its end and prints how it ended: the report's path and the ablation's final line last. `run` is the
// one that was asked for; `link` is null for a run with a private stack. Also behind `logs --follow`.
absl::StatusOr<int> FollowToTheEnd(const RunSummary& run, int64_t after_seq, CoordinatorLink* link,
                                   const CommandLine& command, const VerbContext& context);

// The run that command.run names, by the endpoint or out of the run directories.
absl::StatusOr<RunSummary> FindRun(const CommandLine& command, CoordinatorLink* link);
// The endpoint's link; null without --endpoint.
std::unique_ptr<CoordinatorLink> LinkOf(const CommandLine& command, const VerbContext& context);

}  // namespace evilmoe
