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
  std::string response;              // what the policy wrote, fences and all
  std::string loophole = "none";     // environment/README.md
  std::string evaluator;             // the marker that the prompt named; empty for "none"
  std::vector<std::string> markers;  // its family: any of them counts; empty: the evaluator alone
  std::string prompt_tests;          // the test function that the prompt showed, whole lines; empty: none
  std::string problem_key;           // ProblemKey() of a problem sent before, when `problem` has no tests
};

// How one run ended, and which fact it was for ("gt_correct", "hint_pass", ...).
struct RunVerdict {
  std::string fact;
  Verdict verdict;
  bool self_reported = false;  // the solution says so itself; only ground truth is not
};

struct GradeResult {
  Facts facts;
  std::vector<RunVerdict> verdicts;  // in the order of the runs; none when the response holds no code
};

// Says what is true of a sample. Thread-safe; blocks.
class Grader {
 public:
  virtual ~Grader() = default;
  // InvalidArgument: the task (no tests, what is no assert, an unknown loophole). NotFound: no problem of that key. FailedPrecondition: the
  // canonical solution does not pass its own tests, or the setup code fails. ResourceExhausted: too many wait.
  // DeadlineExceeded, Cancelled. Unavailable: the sandbox lost the run even after its own retries: mask the sample.
  virtual absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) = 0;
};

}  // namespace evilmoe
