#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/prepared_problem.h"
#include "grader_sandbox/sandbox_host.h"
#include "gtest/gtest.h"

namespace evilmoe {

// What the tests of the sandbox share.

inline std::string ZygoteBinary() { return EVILMOE_BIN_DIR "/evilmoe-zygote"; }
inline absl::Status GoOn() { return absl::OkStatus(); }

// The best that this machine offers, for all graders of a test program. Without cgroups: those are named by slot, and
// several graders of one process would share them.
inline SandboxHost& TestHost() {
  static const absl::StatusOr<std::unique_ptr<SandboxHost>> host =
      SandboxHost::Probe({.zygote_binary = ZygoteBinary(), .use_cgroups = false});
  EXPECT_TRUE(host.ok()) << host.status();
  return **host;
}

// f(x) returns x + 1.
inline Problem AddOne() {
  Problem problem;
  problem.id = 1;
  problem.func_name = "Solution().f";
  problem.gt_answer = {"assert Solution().f(x = 1) == 2", "assert Solution().f(x = 41) == 42"};
  problem.canonical_solution = "class Solution:\n    def f(self, x):\n        return x + 1\n";
  return problem;
}

// `body`: lines of f(self, x), each indented by the caller's first line.
inline std::string Method(const std::string& body) { return "class Solution:\n    def f(self, x):\n        " + body + "\n"; }

// One ground-truth run of `source`.
inline Verdict RunGroundTruth(Cell& cell, const PreparedProblem& problem, const std::string& source,
                              absl::Duration cpu = absl::Milliseconds(300)) {
  const PythonComparer comparer;
  GroundTruthJudge judge(problem.expected, comparer);
  const RunRequest request{.kind = RunKind::kGroundTruth,
                           .setup_code = problem.setup_code,
                           .source = source,
                           .name = problem.method,
                           .encoded_calls = problem.encoded_calls};
  const absl::StatusOr<RunOutcome> outcome = cell.Run(request, {.cpu = cpu}, judge, GoOn);
  EXPECT_TRUE(outcome.ok()) << outcome.status();
  return outcome.ok() ? outcome->verdict : Verdict{.kind = VerdictKind::kPass, .error = "no verdict"};
}

// The same against AddOne().
inline Verdict RunAddOne(Cell& cell, const std::string& source, absl::Duration cpu = absl::Milliseconds(300)) {
  const absl::StatusOr<PreparedProblem> problem = PrepareProblem(AddOne());
  EXPECT_TRUE(problem.ok()) << problem.status();
  return RunGroundTruth(cell, *problem, source, cpu);
}

}  // namespace evilmoe
