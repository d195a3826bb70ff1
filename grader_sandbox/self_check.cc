#include "grader_sandbox/self_check.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

struct Case {
  const char* name;
  const char* body;
  VerdictKind want;
  const char* error;  // nullptr: any
};

constexpr Case kCases[] = {
    {"a right solution", "return x + 1", VerdictKind::kPass, nullptr},
    {"a wrong solution", "return x", VerdictKind::kWrongAnswer, nullptr},
    {"an endless loop", "while True: pass", VerdictKind::kTimeout, nullptr},
    {"reading /etc/passwd", "return len(open('/etc/passwd').read())", VerdictKind::kRuntimeError, "PermissionError"},
};

}  // namespace

absl::Status CheckSandbox(LocalGrader& grader, absl::Time deadline) {
  Problem problem;
  problem.func_name = "Solution().f";
  problem.gt_answer = {"assert Solution().f(x = 1) == 2"};
  EVILMOE_ASSIGN_OR_RETURN(PreparedProblem prepared, PrepareProblem(problem));
  prepared.limits.cpu = absl::Milliseconds(500);
  for (const Case& one : kCases) {
    const std::string code = absl::StrCat("class Solution:\n    def f(self, x):\n        ", one.body, "\n");
    const absl::StatusOr<Verdict> verdict = grader.RunSolution(prepared, code, deadline);
    if (!verdict.ok()) return Annotate(verdict.status(), absl::StrCat("self-check: ", one.name));
    if (verdict->kind == one.want && (one.error == nullptr || verdict->error == one.error)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "self-check: ", one.name, " got ", std::string(VerdictName(verdict->kind)), " ", verdict->error, ", expected ",
        std::string(VerdictName(one.want)), "; this machine cannot confine a run, so the grader does not start"));
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
