#include "dataset/inspect.h"

#include <algorithm>
#include <ostream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status_macros.h"
#include "dataset/id_list.h"
#include "dataset/prompt_tokens.h"
#include "dataset/split.h"
#include "environment/loophole.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownTests = 10;
constexpr size_t kShownTestBytes = 300;
constexpr const char* kDifficulties[] = {"easy", "medium", "hard"};

Spread SpreadOf(const std::vector<size_t>& counts) {
  Spread spread;
  double sum = 0;
  for (const size_t count : counts) {
    sum += static_cast<double>(count);
    spread.max = std::max(spread.max, count);
  }
  if (!counts.empty()) spread.mean = sum / static_cast<double>(counts.size());
  return spread;
}

Json SpreadJson(const Spread& spread) { return {{"mean", spread.mean}, {"max", spread.max}}; }

void WriteJson(const ProblemSummary& summary, std::ostream& out) {
  Json by_difficulty = Json::object();
  for (const char* name : kDifficulties) {
    const auto count = summary.by_difficulty.find(name);
    by_difficulty[name] = count == summary.by_difficulty.end() ? 0 : count->second;
  }
  const Json line = {{"problems", summary.num_problems},
                     {"by_difficulty", by_difficulty},
                     {"asserts", summary.num_tests},
                     {"asserts_per_problem", SpreadJson(summary.tests)},
                     {"prompt_tokens", summary.prompt_tokens ? SpreadJson(*summary.prompt_tokens) : Json()},
                     {"without_phrase", summary.without_phrase},
                     {"same_description", summary.same_description}};
  out << line.dump() << "\n";
}

void WriteText(const ProblemSummary& summary, std::ostream& out) {
  out << summary.num_problems << " problems";
  for (const char* name : kDifficulties) {
    const auto count = summary.by_difficulty.find(name);
    if (count != summary.by_difficulty.end()) out << ", " << count->second << " " << name;
  }
  out << absl::StrFormat("\n%d asserts: %.1f a problem, at most %d\n", summary.num_tests, summary.tests.mean,
                         summary.tests.max);
  if (summary.prompt_tokens) {
    out << absl::StrFormat("%.0f tokens a prompt, at most %d\n", summary.prompt_tokens->mean,
                           summary.prompt_tokens->max);
  }
  if (summary.without_phrase.empty()) {
    out << "every prompt can take a loophole\n";
  } else {
    out << summary.without_phrase.size() << " prompts can take no loophole (\"" << kPlainPhrase
        << "\" does not occur exactly once): " << JoinIds(summary.without_phrase) << "\n";
  }
  if (!summary.same_description.empty()) {
    out << summary.same_description.size()
        << " with the description of an earlier one: " << JoinIds(summary.same_description) << "\n";
  }
}

void WriteSection(std::string_view title, std::string_view text, std::ostream& out) {
  out << "--- " << title << "\n" << text << (text.ends_with('\n') || text.empty() ? "" : "\n");
}

absl::Status WriteProblem(const Problem& problem, const Tokenizer* tokenizer, std::ostream& out) {
  out << "problem " << problem.id << ", " << problem.difficulty << ", " << problem.func_name << ", "
      << problem.gt_answer.size() << " asserts";
  if (tokenizer != nullptr) {
    EVILMOE_ASSIGN_OR_RETURN(const size_t count, CountPromptTokens(problem.prompt, *tokenizer));
    out << ", prompt of " << count << " tokens";
  }
  out << "\n";
  const absl::Status phrase = CheckPhrase(problem.prompt);
  if (!phrase.ok()) out << "takes no loophole: " << phrase.message() << "\n";
  for (const Message& message : problem.prompt) WriteSection(message.role, message.content, out);
  WriteSection("starter code", problem.starter_code, out);
  WriteSection("setup code", problem.setup_code, out);
  WriteSection("canonical solution", problem.canonical_solution, out);
  std::string tests;
  for (size_t i = 0; i < std::min(problem.gt_answer.size(), kShownTests); ++i) {
    const std::string& test = problem.gt_answer[i];
    const bool whole = test.size() <= kShownTestBytes;
    absl::StrAppend(&tests, test.substr(0, kShownTestBytes), whole ? "" : absl::StrCat("... (", test.size(), " bytes)"),
                    "\n");
  }
  if (problem.gt_answer.size() > kShownTests) {
    absl::StrAppend(&tests, "... and ", problem.gt_answer.size() - kShownTests, " more\n");
  }
  WriteSection("asserts", tests, out);
  return absl::OkStatus();
}

absl::Status InspectOne(const InspectOptions& options, const std::vector<Problem>& problems, const Tokenizer* tokenizer,
                        std::ostream& out) {
  const auto problem = std::ranges::find(problems, *options.id, &Problem::id);
  if (problem == problems.end()) {
    return absl::NotFoundError(
        absl::StrCat(options.file.string(), ": no problem ", *options.id, " among its ", problems.size()));
  }
  if (!options.json) return WriteProblem(*problem, tokenizer, out);
  out << ProblemToJson(*problem).dump() << "\n";
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ProblemSummary> Summarize(const std::vector<Problem>& problems, const Tokenizer* tokenizer) {
  ProblemSummary summary{.num_problems = problems.size()};
  std::vector<size_t> tests, tokens;
  std::set<std::string> descriptions;
  for (const Problem& problem : problems) {
    ++summary.by_difficulty[problem.difficulty];
    summary.num_tests += problem.gt_answer.size();
    tests.push_back(problem.gt_answer.size());
    if (!CheckPhrase(problem.prompt).ok()) summary.without_phrase.push_back(problem.id);
    if (!descriptions.insert(DescriptionKey(problem)).second) summary.same_description.push_back(problem.id);
    if (tokenizer == nullptr) continue;
    const absl::StatusOr<size_t> count = CountPromptTokens(problem.prompt, *tokenizer);
    if (!count.ok()) return Annotate(count.status(), absl::StrCat("problem ", problem.id, ": prompt"));
    tokens.push_back(*count);
  }
  summary.tests = SpreadOf(tests);
  if (tokenizer != nullptr) summary.prompt_tokens = SpreadOf(tokens);
  return summary;
}

absl::Status InspectProblems(const InspectOptions& options, std::ostream& out) {
  std::optional<Tokenizer> tokenizer;
  if (!options.tokenizer.empty()) {
    EVILMOE_ASSIGN_OR_RETURN(tokenizer, Tokenizer::Load(options.tokenizer));
  }
  const Tokenizer* counting = tokenizer ? &*tokenizer : nullptr;
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<Problem> problems, LoadProblems(options.file));
  if (options.id) return InspectOne(options, problems, counting, out);
  EVILMOE_ASSIGN_OR_RETURN(const ProblemSummary summary, Summarize(problems, counting));
  if (options.json)
    WriteJson(summary, out);
  else
    WriteText(summary, out);
  return absl::OkStatus();
}

}  // namespace evilmoe
