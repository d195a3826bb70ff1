#pragma once

#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "environment/problem.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {

// `grade --problems FILE`: one JSON line in, one out, in the same order; a bad line gives {"line", "error"} in place.
// True when every line was answered. Lines are graded beside each other, as many as there are slots; the answers keep
// their order. `problems` must outlive the call.
bool RunGradeVerb(std::span<const Problem> problems, LocalGrader& grader, std::istream& in, std::ostream& out);

// `sandbox run FILE ...`: one call of one file.
struct SandboxRunOptions {
  std::filesystem::path file;
  std::filesystem::path setup;  // empty: none
  std::string call;             // "Solution().f"
  std::string kwargs = "{}";    // a JSON object
  std::string expect;           // JSON
  double cpu_limit_s = 3;
};
absl::Status RunSandboxVerb(const SandboxRunOptions& options, LocalGrader& grader, const Clock& clock,
                            std::ostream& out);

// `sandbox check`: the tier that this machine offers, why it is no better, and the hostile self-check (self_check.h), as lines or as
// one JSON object {"ok", "tier", "cgroup", "landlock_version", "own_users", "notes", "cases": [{"name", "ok", "verdict",
// "expected"}]}. Whether every case held. Statuses as RunSelfCheck().
absl::StatusOr<bool> RunSandboxCheck(LocalGrader& grader, const Clock& clock, bool json, std::ostream& out);

}  // namespace evilmoe
