#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/prepared_problem.h"

namespace evilmoe {

// Tests that are no plain comparison (`assert abs(Solution().f(x = 1) - 0.5) < 1e-6`, `assert is_valid(Solution()...)`).
// An interpreter of their own runs them with a proxy in the solution's place; the solution runs in another, as always,
// and only its plain values cross, by way of the grader. The two take turns until no assert makes a further call:
// what an assert asks for next may depend on what it got.

struct ExaminedRun {
  Cell& cell;
  const PreparedProblem& problem;
  const RunLimits& limits;  // of the solution
  const Interrupt& interrupt;
};

struct ExaminedOutcome {
  Verdict verdict;
  bool compiled = false;
};
// An assert that does not end, or makes calls that cannot be sent, because of what the solution returned is a wrong
// answer. FailedPrecondition: one that does so before there is any value, or calls nothing or something else than the
// method; names it. Others as Cell::Run().
absl::StatusOr<ExaminedOutcome> RunExaminedTests(const ExaminedRun& run, const std::string& code);

// The first call of every test, in order: what channels are driven with.
absl::StatusOr<std::vector<std::string>> FirstCalls(const ExaminedRun& run);

}  // namespace evilmoe
