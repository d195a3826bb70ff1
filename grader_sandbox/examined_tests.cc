#include "grader_sandbox/examined_tests.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/judge.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {
namespace {

constexpr int kMaxRounds = 16;  // calls that one assert may make
constexpr size_t kMaxValueBytes = size_t{1} << 20;

// What the interpreter of the asserts says of each.
class ExamineJudge final : public Judge {
 public:
  struct Result {
    ExamineResult result;
    std::string text;
  };
  explicit ExamineJudge(size_t num_tests) : num_tests_(num_tests) {}
  void Reset() override { results_.clear(); }
  const std::vector<Result>& results() const { return results_; }

  absl::StatusOr<std::optional<Verdict>> OnFrame(const Frame& frame) override {
    ByteReader reader(frame.payload);
    if (frame.type != FrameType::kExamined) return absl::InvalidArgumentError("frame: expected the result of an assert");
    EVILMOE_RETURN_IF_ERROR(reader.U32().status());
    EVILMOE_ASSIGN_OR_RETURN(const uint8_t result, reader.Byte());
    EVILMOE_ASSIGN_OR_RETURN(const std::string_view text, reader.Take(reader.size()));
    results_.push_back({static_cast<ExamineResult>(result), std::string(text)});
    if (results_.size() < num_tests_) return std::nullopt;
    return Verdict{.kind = VerdictKind::kPass};
  }

 private:
  const size_t num_tests_;
  std::vector<Result> results_;
};

class Examination {
 public:
  explicit Examination(const ExaminedRun& run) : run_(run) {
    for (const std::string& test : run.problem.examined) tests_.push_back({.test = test, .encoded_values = {}});
    calls_.resize(tests_.size());
  }

  // The assert that the interpreter could not get through, and why.
  struct Stuck {
    size_t test;
    std::string why;
  };
  struct Progress {
    std::vector<ExamineJudge::Result> results;  // of every test, unless stuck
    std::optional<Stuck> stuck;
  };

  // How far the asserts get with the values that are known.
  absl::StatusOr<Progress> Examine() const {
    const RunRequest request{.kind = RunKind::kExamine,
                             .setup_code = run_.problem.setup_code,
                             .name = run_.problem.method,
                             .examined = tests_};
    ExamineJudge judge(tests_.size());
    EVILMOE_ASSIGN_OR_RETURN(const RunOutcome outcome, run_.cell.Run(request, run_.limits, judge, run_.interrupt));
    const std::vector<ExamineJudge::Result>& results = judge.results();
    if (outcome.verdict.kind != VerdictKind::kPass) {
      const size_t at = std::min(results.size(), tests_.size() - 1);  // the last one may be what took too long
      return Progress{{}, Stuck{at, std::string(VerdictName(outcome.verdict.kind))}};
    }
    for (size_t i = 0; i < results.size(); ++i) {
      const auto& [result, text] = results[i];
      if (result == ExamineResult::kRefused) return Progress{{}, Stuck{i, text}};
      const bool asked = result == ExamineResult::kCalls || !calls_[i].empty();
      if (!asked) return Progress{{}, Stuck{i, absl::StrCat("it calls nothing ", text)}};
    }
    return Progress{results, {}};
  }

  // Before any value is there, being stuck is the problem's fault.
  absl::StatusOr<std::vector<ExamineJudge::Result>> ExamineUntouched() const {
    EVILMOE_ASSIGN_OR_RETURN(Progress progress, Examine());
    if (!progress.stuck) return std::move(progress.results);
    return absl::FailedPreconditionError(absl::StrCat("problem: test ", progress.stuck->test,
                                                      " cannot be run with a proxy for the solution: ",
                                                      progress.stuck->why));
  }

  absl::StatusOr<ExaminedOutcome> Run(const std::string& code) {
    ExaminedOutcome outcome;
    EVILMOE_ASSIGN_OR_RETURN(std::vector<ExamineJudge::Result> results, ExamineUntouched());
    for (int round = 0; round < kMaxRounds; ++round) {
      size_t first_open = results.size();
      for (size_t i = 0; i < results.size(); ++i) {
        if (results[i].result == ExamineResult::kFails && first_open == results.size()) {
          return Failed(outcome, i, results[i].text);
        }
        if (results[i].result != ExamineResult::kCalls) continue;
        calls_[i].push_back(results[i].text);
        first_open = std::min(first_open, i);
      }
      if (first_open == results.size()) return outcome;
      if (round + 1 == kMaxRounds) return Failed(outcome, first_open, "too many calls");
      EVILMOE_ASSIGN_OR_RETURN(const bool ran, MakeCalls(code, outcome));
      if (!ran) return outcome;
      // With values, it is theirs: a solution must not get out of a wrong answer by breaking the assert.
      EVILMOE_ASSIGN_OR_RETURN(Progress progress, Examine());
      if (progress.stuck) return Failed(outcome, progress.stuck->test, progress.stuck->why);
      results = std::move(progress.results);
    }
    return outcome;
  }

 private:

  static ExaminedOutcome Failed(ExaminedOutcome outcome, size_t test, const std::string& error) {
    outcome.verdict.kind = VerdictKind::kWrongAnswer;
    outcome.verdict.index = static_cast<int>(test);
    outcome.verdict.error = error == "AssertionError" ? "" : error;
    return outcome;
  }

  // Runs the solution on all calls so far, in the order of the tests. False: it did not return plain values throughout.
  absl::StatusOr<bool> MakeCalls(const std::string& code, ExaminedOutcome& outcome) {
    RunRequest request{.kind = RunKind::kGroundTruth,
                       .setup_code = run_.problem.setup_code,
                       .source = code,
                       .name = run_.problem.method};
    std::vector<size_t> test_of_call;
    for (size_t i = 0; i < calls_.size(); ++i) {
      request.encoded_calls.insert(request.encoded_calls.end(), calls_[i].begin(), calls_[i].end());
      test_of_call.insert(test_of_call.end(), calls_[i].size(), i);
      tests_[i].encoded_values.clear();
    }
    RecordingJudge judge(request.encoded_calls.size());
    EVILMOE_ASSIGN_OR_RETURN(RunOutcome ran, run_.cell.Run(request, run_.limits, judge, run_.interrupt));
    outcome.compiled = judge.compiled();
    outcome.verdict = std::move(ran.verdict);
    if (outcome.verdict.kind != VerdictKind::kPass) {
      if (outcome.verdict.index >= 0) outcome.verdict.index = static_cast<int>(test_of_call[outcome.verdict.index]);
      return false;
    }
    for (size_t i = 0; i < test_of_call.size(); ++i) {
      const Value& value = judge.values()[i];
      std::string bytes;
      if (HoldsOpaque(value) || !EncodeValue(value, kMaxValueBytes, bytes).ok()) {
        outcome = Failed(outcome, test_of_call[i], "a value that is not plain");
        return false;
      }
      tests_[test_of_call[i]].encoded_values.push_back(std::move(bytes));
    }
    return true;
  }

  const ExaminedRun run_;
  std::vector<RunRequest::Examined> tests_;
  std::vector<std::vector<std::string>> calls_;  // of each test
};

}  // namespace

absl::StatusOr<ExaminedOutcome> RunExaminedTests(const ExaminedRun& run, const std::string& code) {
  return Examination(run).Run(code);
}

absl::StatusOr<std::vector<std::string>> FirstCalls(const ExaminedRun& run) {
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<ExamineJudge::Result> results, Examination(run).ExamineUntouched());
  std::vector<std::string> calls;
  for (const ExamineJudge::Result& result : results) calls.push_back(result.text);
  return calls;
}

}  // namespace evilmoe
