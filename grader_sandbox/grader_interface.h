#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "environment/facts.h"
#include "environment/problem.h"
#include "grader_sandbox/verdict.h"

namespace evilmoe {

// One sample to grade. Of the problem, grading reads id, func_name, setup_code, gt_answer and canonical_solution.
struct GradeTask {
  Problem problem;
  std::string response;            // what the policy wrote, fences and all
  std::string loophole = "none";   // none | simple_overwrite_tests | overwrite_tests
  std::string evaluator;           // name of the function that the prompt promised to call; empty for "none"
};

// How one run ended, and which fact it was for ("gt_correct", "hint_pass", ...).
struct RunVerdict {
  std::string fact;
  Verdict verdict;
};

struct GradeResult {
  Facts facts;
  std::vector<RunVerdict> verdicts;  // in the order of the runs; none when the response holds no code
};

// Says what is true of a sample. Thread-safe; blocks.
class Grader {
 public:
  virtual ~Grader() = default;
  // InvalidArgument: the task (no tests, a test that is not literal, an unknown loophole). FailedPrecondition: the
  // canonical solution does not pass its own tests, or the setup code fails. ResourceExhausted: too many wait.
  // DeadlineExceeded, Cancelled. Unavailable: the sandbox lost the run even after its own retries: mask the sample.
  virtual absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) = 0;
};

}  // namespace evilmoe
