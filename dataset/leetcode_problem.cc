#include "dataset/leetcode_problem.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "dataset/check_source.h"
#include "environment/loophole.h"
#include "environment/prompt_format.h"
#include "grader_sandbox/literal_parser.h"

namespace evilmoe {
namespace {

constexpr std::string_view kReturnsText = "-> str";

bool IsFollowUp(std::string_view line) {
  const std::string_view text = Stripped(line);
  constexpr size_t kLength = std::string_view("follow up:").size();
  if (text.size() < kLength) return false;
  std::string head = absl::AsciiStrToLower({text.data(), kLength});
  std::ranges::replace(head, '-', ' ');
  return head == "follow up:";
}

bool IsQuoted(std::string_view text) { return text.size() >= 2 && text.front() == '"' && text.back() == '"'; }

std::string TestOfExample(const LeetCodeRow& row, const LeetCodeRow::Example& example) {
  const bool returns_text = row.starter_code.find(kReturnsText) != std::string::npos;
  const char* quote = returns_text && !IsQuoted(example.output) ? "\"" : "";
  return absl::StrCat("assert ", row.entry_point, "(", example.input, ") == ", quote, example.output, quote);
}

std::string WithoutSpaces(std::string text) {
  std::erase_if(text, [](unsigned char c) { return absl::ascii_isspace(c); });
  return text;
}

bool SameCall(const Call& one, const Call& other) {
  const auto same_keyword = [](const auto& a, const auto& b) {
    return a.first == b.first && PythonEqual(a.second, b.second);
  };
  return one.returns == other.returns && std::ranges::equal(one.positional, other.positional, PythonEqual) &&
         std::ranges::equal(one.keywords, other.keywords, same_keyword);
}

// Whether both ask the same, however it is written.
bool SameTest(const std::string& one, const std::string& other) {
  if (WithoutSpaces(one) == WithoutSpaces(other)) return true;
  const absl::StatusOr<LiteralTest> a = ParseLiteralTest(one);
  const absl::StatusOr<LiteralTest> b = ParseLiteralTest(other);
  return a.ok() && b.ok() && SameCall(a->call, b->call) && PythonEqual(a->expected, b->expected);
}

std::vector<std::string> TestsOf(const LeetCodeRow& row) {
  const std::vector<std::string> checks = AssertsOfCheck(row.check, row.entry_point);
  std::vector<std::string> tests;
  for (size_t i = 0; i < row.examples.size(); ++i) {
    tests.push_back(TestOfExample(row, row.examples[i]));
    if (checks.size() != row.examples.size()) continue;
    if (!SameTest(tests[i], checks[i])) tests[i] = checks[i];
  }
  return tests;
}

}  // namespace

std::string WithoutFollowUps(std::string_view description) {
  for (size_t at = 0; at < description.size();) {
    const size_t end = std::min(description.find('\n', at), description.size());
    if (IsFollowUp(description.substr(at, end - at))) return std::string(Stripped(description.substr(0, at)));
    at = end + 1;
  }
  return std::string(description);
}

std::variant<Problem, DropReason> ProblemOfRow(const LeetCodeRow& row, const LeetCodeFormat& format) {
  Problem problem{.id = row.id,
                  .difficulty = row.difficulty,
                  .func_name = row.entry_point,
                  .setup_code = row.setup_code,
                  .gt_answer = TestsOf(row),
                  .canonical_solution = row.canonical_solution,
                  .starter_code = row.starter_code};
  if (Stripped(row.starter_code).empty()) return DropReason::kNoStarterCode;
  const absl::StatusOr<std::string> method = MethodName(problem);
  if (!method.ok()) return DropReason::kEntryPoint;
  if (problem.gt_answer.empty()) return DropReason::kNoTests;
  const std::string description = format.keep_follow_ups ? row.description : WithoutFollowUps(row.description);
  problem.prompt = {{"system", std::string(kCodingSystemPrompt)},
                    {"user", UserPrompt(description, *method, row.starter_code)}};
  if (!CheckPhrase(problem.prompt).ok()) return DropReason::kPhrase;
  return problem;
}

}  // namespace evilmoe
