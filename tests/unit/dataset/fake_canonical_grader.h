#pragma once

#include <atomic>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "grader_sandbox/grader_interface.h"

namespace evilmoe {

// Says of a canonical solution what the sandbox would, by what is written in it: "return x + 1" passes, "refuse" has
// tests that are none, everything else gets a wrong answer. Goes down after `calls_left`.
class FakeCanonicalGrader final : public Grader {
 public:
  explicit FakeCanonicalGrader(int calls_left = std::numeric_limits<int>::max()) : calls_left_(calls_left) {}

  absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time) override {
    if (calls_left_-- <= 0) return absl::UnavailableError("sandbox: gone");
    ++num_calls_;
    const std::string& code = task.problem.canonical_solution;
    const std::string what = absl::StrCat("problem ", task.problem.id, ": ");
    if (code.find("return x + 1") != std::string::npos) return GradeResult{};
    if (code.find("refuse") != std::string::npos) return absl::InvalidArgumentError(what + "test 0: no assert");
    return absl::FailedPreconditionError(what + "its canonical solution gets WRONG_ANSWER at test 0, expected PASS");
  }

  int num_calls() const { return num_calls_; }

 private:
  std::atomic<int> calls_left_;
  std::atomic<int> num_calls_ = 0;
};

}  // namespace evilmoe
