#pragma once

#include "services/coordinator/coordinator_types.h"
#include "services/runs/run_directory.h"

namespace evilmoe {

// A run of the store as a person sees it.
RunSummary SummaryOf(const RunRecord& run);

}  // namespace evilmoe
