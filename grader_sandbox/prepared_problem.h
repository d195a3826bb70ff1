#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "environment/problem.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// A problem as the sandbox needs it: its tests parsed, calls and expected values apart.
struct PreparedProblem {
  std::string key;  // ProblemKey()
  std::string method;
  std::string setup_code;
  std::string canonical_solution;
  std::vector<std::string> encoded_calls;
  std::vector<Value> expected;          // one for each call; empty when the tests are examined
  std::vector<std::string> examined;    // all tests as written, when one of them is no plain comparison
  absl::Duration expected_cpu;          // of a right solution
  RunLimits limits;
};

// InvalidArgument names the test that is of another method, or no statement `assert ...`. With examined tests the calls
// are still to be found (examined_tests.h).
absl::StatusOr<PreparedProblem> PrepareProblem(const Problem& problem);

// The problems that were prepared, and whose canonical solution passed, lately. Thread-safe.
class ProblemCache {
 public:
  explicit ProblemCache(size_t capacity) : capacity_(capacity) {}
  std::shared_ptr<const PreparedProblem> Find(const std::string& key) ABSL_LOCKS_EXCLUDED(mu_);
  void Insert(std::shared_ptr<const PreparedProblem> problem) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const size_t capacity_;
  Mutex mu_;
  std::map<std::string, std::shared_ptr<const PreparedProblem>> by_key_ ABSL_GUARDED_BY(mu_);
  std::deque<std::string> oldest_first_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
