#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {

struct SelfCheckCase {
  std::string name;
  bool ok = false;
  std::string verdict;
  std::string expected;
};

// Runs good, bad and hostile solutions and says how each went. Statuses as LocalGrader::RunSolution().
absl::StatusOr<std::vector<SelfCheckCase>> RunSelfCheck(LocalGrader& grader, absl::Time deadline);

// FailedPrecondition names the first case that did not get its verdict: such a grader must not serve.
absl::Status CheckSandbox(LocalGrader& grader, absl::Time deadline);

}  // namespace evilmoe
