#pragma once

#include "absl/status/status.h"
#include "trainer/run_config.h"

namespace evilmoe {

// What one run may ask of a coordinator, its workers and its disk. The parser's own ranges say what makes sense for one
// user on one machine; these say what several share, and lie far above what the examples ask for. InvalidArgument:
// every field that asks for too much, one a line. Stateless.
//
// Not bounded here: evaluation.max_problems (the file of problems is bound by its size, its batches by OpenBatch), and
// what only makes the run itself bad (learning rates, weights).
absl::Status CheckRunLimits(const RunConfig& config);

}  // namespace evilmoe
