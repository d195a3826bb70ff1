#include "grader_sandbox/prepared_problem.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/literal_parser.h"
#include "grader_sandbox/problem_key.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {
namespace {

bool IsAssert(std::string_view test) {
  return test.starts_with("assert ") || test.starts_with("assert(") || test.starts_with("assert not(");
}

}  // namespace

absl::StatusOr<PreparedProblem> PrepareProblem(const Problem& problem) {
  const std::string what = absl::StrCat("problem ", problem.id);
  if (problem.gt_answer.empty()) return absl::InvalidArgumentError(what + ": gt_answer is empty, expected tests");
  EVILMOE_ASSIGN_OR_RETURN(std::string method, MethodName(problem));
  PreparedProblem prepared{.key = ProblemKey(problem),
                           .method = std::move(method),
                           .setup_code = problem.setup_code,
                           .canonical_solution = problem.canonical_solution};
  for (size_t i = 0; i < problem.gt_answer.size(); ++i) {
    const absl::StatusOr<LiteralTest> test = ParseLiteralTest(problem.gt_answer[i]);
    if (!test.ok()) {
      if (!IsAssert(problem.gt_answer[i])) return Annotate(test.status(), absl::StrCat(what, ", test ", i));
      prepared.examined = problem.gt_answer;
      prepared.encoded_calls.clear();
      prepared.expected.clear();
      return prepared;
    }
    if (test->call.method != prepared.method) {
      return absl::InvalidArgumentError(absl::StrCat(what, ", test ", i, ": calls ", test->call.method, ", expected ",
                                                     prepared.method));
    }
    EVILMOE_ASSIGN_OR_RETURN(std::string call, EncodeCall(test->call));
    prepared.encoded_calls.push_back(std::move(call));
    prepared.expected.push_back(test->expected);
  }
  return prepared;
}

std::shared_ptr<const PreparedProblem> ProblemCache::Find(const std::string& key) {
  const MutexLock lock(mu_);
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : found->second;
}

void ProblemCache::Insert(std::shared_ptr<const PreparedProblem> problem) {
  const MutexLock lock(mu_);
  const std::string key = problem->key;
  if (!by_key_.emplace(key, std::move(problem)).second) return;
  oldest_first_.push_back(key);
  if (oldest_first_.size() <= capacity_) return;
  by_key_.erase(oldest_first_.front());
  oldest_first_.pop_front();
}

}  // namespace evilmoe
