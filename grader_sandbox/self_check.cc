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

// Each of the layers is asked for something that it must refuse.
constexpr Case kCases[] = {
    {"a right solution", "return x + 1", VerdictKind::kPass, nullptr},
    {"a wrong solution", "return x", VerdictKind::kWrongAnswer, nullptr},
    {"an object equal to everything", "return type('E', (), {'__eq__': lambda self, other: True})()",
     VerdictKind::kWrongAnswer, nullptr},
    {"an endless loop", "while True: pass", VerdictKind::kTimeout, nullptr},
    {"too much memory", "return len(bytearray(2 << 30))", VerdictKind::kRuntimeError, "MemoryError"},
    {"endless output", "while True: print('x' * 10000)", VerdictKind::kOutputLimit, nullptr},
    {"reading /etc/passwd", "return len(open('/etc/passwd').read())", VerdictKind::kRuntimeError, "PermissionError"},
    {"writing a file", "open('/tmp/evilmoe-self-check', 'w')", VerdictKind::kRuntimeError, "PermissionError"},
    {"another process", "import os; os.fork(); return x + 1", VerdictKind::kRuntimeError, "PermissionError"},
    {"a signal to the parent", "import os; os.kill(os.getppid(), 9); return x + 1", VerdictKind::kRuntimeError,
     "PermissionError"},
    {"a forbidden system call", "import os; os.chroot('/'); return x + 1", VerdictKind::kSandboxViolation, nullptr},
    {"a socket", "import socket; return x + 1", VerdictKind::kRuntimeError, "ModuleNotFoundError"},
};

// AddressSanitizer answers a failed allocation itself.
bool CanRun(const Case& one) {
#ifdef __SANITIZE_ADDRESS__
  return std::string_view(one.name) != "too much memory";
#else
  return one.name != nullptr;
#endif
}

}  // namespace

absl::StatusOr<std::vector<SelfCheckCase>> RunSelfCheck(LocalGrader& grader, absl::Time deadline) {
  Problem problem;
  problem.func_name = "Solution().f";
  problem.gt_answer = {"assert Solution().f(x = 1) == 2"};
  EVILMOE_ASSIGN_OR_RETURN(PreparedProblem prepared, PrepareProblem(problem));
  prepared.limits.cpu = absl::Milliseconds(500);
  std::vector<SelfCheckCase> results;
  for (const Case& one : kCases) {
    if (!CanRun(one)) continue;
    const std::string code = absl::StrCat("class Solution:\n    def f(self, x):\n        ", one.body, "\n");
    const absl::StatusOr<Verdict> verdict = grader.RunSolution(prepared, code, deadline);
    if (!verdict.ok()) return Annotate(verdict.status(), absl::StrCat("self-check: ", one.name));
    results.push_back({.name = one.name,
                       .ok = verdict->kind == one.want && (one.error == nullptr || verdict->error == one.error),
                       .verdict = absl::StrCat(std::string(VerdictName(verdict->kind)), " ", verdict->error),
                       .expected = absl::StrCat(std::string(VerdictName(one.want)), " ",
                                                one.error == nullptr ? "" : one.error)});
  }
  return results;
}

absl::Status CheckSandbox(LocalGrader& grader, absl::Time deadline) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<SelfCheckCase> cases, RunSelfCheck(grader, deadline));
  for (const SelfCheckCase& one : cases) {
    if (one.ok) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("self-check: ", one.name, " got ", one.verdict, ", expected ", one.expected,
                     "; this machine cannot confine a run, so the grader does not start"));
  }
  return absl::OkStatus();
}

}  // namespace evilmoe
