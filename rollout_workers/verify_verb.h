#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "grader_sandbox/grader.h"

namespace evilmoe {

// `verify [FILE]`: whether the parts of a run hold what they promise, each check with its figure.
struct VerifyOptions {
  std::filesystem::path file;  // a run's config, or a run directory; empty: a tiny random model
  std::string arm;             // of the tiny random model; empty: evil_moe
  bool smoke = false;          // six steps of training on the tiny random model, in place of the checks
  bool json = false;
  int threads = 1;
};

// Prints a line a check as they come, or one JSON object at the end, and returns the exit code: 0 when all hold, 1 when
// one does not, 2 when the options, the file or the model are unusable, 4 when a file is missing (one line on `errors`).
// `grader`: the sandbox of this machine, or why there is none, which fails its checks.
int RunVerify(const VerifyOptions& options, const absl::StatusOr<LocalGrader*>& grader, const Clock& clock,
              std::ostream& out, std::ostream& errors);

}  // namespace evilmoe
