#pragma once

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dataset/progress.h"
#include "dataset/verdict_store.h"
#include "environment/problem.h"
#include "grader_sandbox/grader_interface.h"

namespace evilmoe {

// Runs each problem's canonical solution against its tests, `num_threads` (>= 1) at once, and says of each, in order,
// whether it passes. Verdicts that `store` knows are not asked for again; new ones are added as they come, so that what
// was done is kept when the process ends early. Verdicts do not depend on the number of threads.
//
// Fails with what `grader` says when it cannot judge (Unavailable, DeadlineExceeded, ...): that is no verdict.
absl::StatusOr<std::vector<CanonicalVerdict>> JudgeCanonical(std::span<const Problem> problems, Grader& grader,
                                                             int num_threads, VerdictStore& store, Progress& progress,
                                                             const Clock& clock);

}  // namespace evilmoe
