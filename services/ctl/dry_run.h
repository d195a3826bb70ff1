#pragma once

#include <ostream>

#include "absl/status/status.h"
#include "services/ctl/stack_layout.h"
#include "trainer/run_file.h"

namespace evilmoe {

// `submit --dry-run`: the resolved file on `out`, an estimate for a private stack of this shape and what is missing on
// `errors`, a line each; with `json` all of it as one object on `out`. Starts and writes nothing. NotFound: something
// that the run needs is missing; InvalidArgument: the model's config.json is none, or the model cannot hold the run's
// prompts and completions.
absl::Status DryRun(const RunFile& file, const StackShape& shape, bool json, std::ostream& out, std::ostream& errors);

}  // namespace evilmoe
