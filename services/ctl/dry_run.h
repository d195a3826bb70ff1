#pragma once

#include "absl/status/statusor.h"
#include "services/ctl/command_line.h"
#include "services/ctl/verbs.h"
#include "trainer/run_file.h"

namespace evilmoe {

// `submit --dry-run`: the resolved file on `out`, an estimate and what is missing on `errors`; with --output json all
// of it as one object on `out`. Starts and writes nothing. Returns kExitOk, kExitNotFound where something that the run
// needs is missing (one line each), kExitUsage where the model cannot hold the run's prompts and completions; an error
// where the model's config.json is none.
absl::StatusOr<int> DryRun(const RunFile& file, const CommandLine& command, const VerbContext& context);

}  // namespace evilmoe
