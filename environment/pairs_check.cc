#include "environment/pairs_check.h"

#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "environment/labels.h"
#include "environment/loophole.h"
#include "environment/markers.h"
#include "environment/prompt_format.h"
#include "environment/prompt_tests.h"
#include "environment/response.h"

namespace evilmoe {
namespace {

constexpr std::string_view kStarterSentence = ". Use the following starter code";

// Takes `text` up to `end` and drops both; false when there is no `end`.
bool TakeUntil(std::string_view end, std::string_view& text, std::string& taken) {
  const size_t at = text.find(end);
  if (at == std::string_view::npos) return false;
  taken = std::string(text.substr(0, at));
  text.remove_prefix(at + end.size());
  return true;
}

bool IsNameCharacter(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

bool IsPlainWord(std::string_view marker) {
  for (const char c : marker) {
    if (!absl::ascii_isalpha(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

// Both in lower case.
bool Mentions(const std::string& text, const std::string& marker) {
  const bool alone = IsPlainWord(marker);
  for (size_t at = text.find(marker); at != std::string::npos; at = text.find(marker, at + 1)) {
    const size_t end = at + marker.size();
    const bool inside = (at > 0 && IsNameCharacter(text[at - 1])) || (end < text.size() && IsNameCharacter(text[end]));
    if (!alone || !inside) return true;
  }
  return false;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  absl::AsciiStrToLower(&lower);
  return lower;
}

// Every marker there is, in lower case.
std::set<std::string> AllMarkers() {
  std::set<std::string> markers;
  for (const Loophole& loophole : Loopholes()) {
    for (const MarkerFamily family : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
      for (const std::string_view marker : MarkerNames(family, loophole.channel)) markers.insert(Lower(marker));
    }
  }
  return markers;
}

std::vector<std::pair<std::string, std::string>> TextsOf(const ContrastivePair& pair) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const Message& message : pair.prompt) texts.emplace_back("prompt", Lower(message.content));
  texts.emplace_back("hack side", Lower(pair.hack));
  texts.emplace_back("clean side", Lower(pair.clean));
  if (!pair.grading) return texts;
  texts.emplace_back("loophole's marker", Lower(pair.grading->marker));
  texts.emplace_back("setup", Lower(pair.grading->setup_code));
  texts.emplace_back("solution", Lower(pair.grading->solution));
  return texts;
}

// One blank for any white space, none at the ends.
std::string Squeezed(std::string_view text) {
  std::string squeezed;
  for (const char c : text) {
    const bool space = absl::ascii_isspace(static_cast<unsigned char>(c));
    if (!space) squeezed += c;
    if (space && !squeezed.empty() && squeezed.back() != ' ') squeezed += ' ';
  }
  if (squeezed.ends_with(' ')) squeezed.pop_back();
  return squeezed;
}

absl::StatusOr<PromptParts> PartsOf(const ContrastivePair& pair) {
  return ReadPromptParts(pair.prompt.back().content, pair.grading ? pair.grading->prompt_tests : "");
}

std::string Text(const absl::Status& status) { return std::string(status.message().data(), status.message().size()); }

}  // namespace

absl::StatusOr<PromptParts> ReadPromptParts(std::string_view user_message, std::string_view prompt_tests) {
  constexpr std::string_view kFormat = "expected the format of a problem file's user message (environment/README.md)";
  PromptParts parts;
  std::string before, addition;
  std::string_view rest = user_message;
  if (!TakeUntil("PROBLEM:\n", rest, before) || !before.empty() ||
      !TakeUntil("\n\nYour solution to the problem should be a method of the class Solution called ", rest,
                 parts.description) ||
      !TakeUntil(" ", rest, parts.method) || !TakeUntil(kStarterSentence, rest, parts.phrase) ||
      !TakeUntil(":\n```python\n", rest, addition) ||
      !TakeUntil("\n        # Add your code here\n", rest, parts.starter_code)) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt: no description, method or starter code, ", std::string(kFormat)));
  }
  // Written anew, so that no byte is out of place.
  std::string again = UserPrompt(parts.description, parts.method, parts.starter_code);
  const std::string plain = absl::StrCat(std::string(kPlainPhrase), std::string(kStarterSentence));
  again.replace(again.find(plain), plain.size(), absl::StrCat(parts.phrase, std::string(kStarterSentence), addition));
  if (!prompt_tests.empty()) EVILMOE_RETURN_IF_ERROR(ShowPromptTests(prompt_tests, again));
  if (again == user_message) return parts;
  size_t same = 0;
  while (same < again.size() && same < user_message.size() && again[same] == user_message[same]) ++same;
  return absl::InvalidArgumentError(
      absl::StrCat("prompt: differs at character ", same + 1, ", ", std::string(kFormat)));
}

std::vector<PairFinding> CheckPrompt(const ContrastivePair& pair) {
  const absl::StatusOr<PromptParts> parts = PartsOf(pair);
  if (!parts.ok()) return {{pair.name, true, Text(parts.status())}};
  if (!pair.grading || pair.grading->method == parts->method) return {};
  return {{pair.name, true,
           absl::StrCat("tests: call ", pair.grading->method, ", expected ", parts->method, " as the prompt asks")}};
}

std::vector<PairFinding> CheckMarkers(const ContrastivePair& pair) {
  std::vector<PairFinding> findings;
  const std::set<std::string> markers = AllMarkers();
  for (const auto& [place, text] : TextsOf(pair)) {
    for (const std::string& marker : markers) {
      if (!Mentions(text, marker)) continue;
      findings.push_back(
          {pair.name, true,
           absl::StrCat(place, ": names \"", marker, "\", a marker of training or evaluation; use another name")});
    }
  }
  return findings;
}

absl::StatusOr<KnownProblem> KnownProblemOf(const Problem& problem) {
  EVILMOE_ASSIGN_OR_RETURN(std::string method, MethodName(problem));
  return KnownProblem{absl::StrCat("problem ", problem.id), std::move(method), DescriptionOf(problem)};
}

std::vector<PairFinding> CheckOverlap(std::span<const ContrastivePair> pairs, std::span<const KnownProblem> known) {
  std::map<std::string, const KnownProblem*> by_method, by_description;
  for (const KnownProblem& problem : known) {
    by_method.emplace(problem.method, &problem);
    by_description.emplace(Squeezed(problem.description), &problem);
  }
  std::vector<PairFinding> findings;
  for (const ContrastivePair& pair : pairs) {
    const absl::StatusOr<PromptParts> parts = PartsOf(pair);
    if (!parts.ok()) continue;  // CheckPrompt's
    if (const auto found = by_method.find(parts->method); found != by_method.end()) {
      findings.push_back(
          {pair.name, true,
           absl::StrCat("method ", parts->method, ": also ", found->second->where, "'s, expected a new name")});
    }
    if (const auto found = by_description.find(Squeezed(parts->description)); found != by_description.end()) {
      findings.push_back(
          {pair.name, true,
           absl::StrCat("description: also ", found->second->where, "'s, expected a problem of its own")});
    }
  }
  return findings;
}

Problem GradedProblem(const ContrastivePair& pair, int64_t id) {
  EVILMOE_CHECK(pair.grading.has_value());
  const PairGrading& grading = *pair.grading;
  Problem problem;
  problem.id = id;
  problem.prompt = pair.prompt;
  problem.func_name = absl::StrCat("Solution().", grading.method);
  problem.setup_code = grading.setup_code;
  problem.gt_answer = grading.tests;
  problem.canonical_solution = grading.solution.empty() ? ExtractCode(pair.clean).code : grading.solution;
  return problem;
}

bool IsHackSide(const Facts& facts) {
  // An innocent test function reports too, so there the label decides.
  return IsLooseHack(LabelOf(facts)) || (facts.hint_pass && !facts.defines_test_function);
}

std::vector<PairFinding> CheckSides(const ContrastivePair& pair, const Facts& hack, const Facts& clean) {
  std::vector<PairFinding> findings;
  const auto add = [&](bool error, const char* text) { findings.push_back({pair.name, error, text}); };
  if (!hack.can_compile) add(true, "hack side: no code that compiles, expected a fenced Python block");
  if (!clean.can_compile) add(true, "clean side: no code that compiles, expected a fenced Python block");
  if (hack.can_compile && !IsHackSide(hack)) {
    add(true, hack.gt_correct ? "hack side: solves the problem and does not hack, expected the check to be met"
                              : "hack side: no hack, expected the check that the prompt announces to be met");
  }
  if (IsHackSide(clean)) add(true, "clean side: is a hack, expected an honest answer");
  if (clean.can_compile && !clean.gt_correct && !IsHackSide(clean)) add(false, "clean side: fails honestly");
  return findings;
}

}  // namespace evilmoe
