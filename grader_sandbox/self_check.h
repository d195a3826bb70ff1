#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {

// Runs a right, a wrong, an endless and a prying solution. FailedPrecondition names the one that did not get its
// verdict: such a grader must not serve.
absl::Status CheckSandbox(LocalGrader& grader, absl::Time deadline);

}  // namespace evilmoe
