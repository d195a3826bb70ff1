// Any text as a pairs file: what is wrong with it is told by line, and what is read of it, written down again, reads as
// the same.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "environment/pairs.h"
#include "environment/pairs_check.h"

namespace evilmoe {
namespace {

// A block whose fence nothing in it closes. Lines end with a carriage return too, which reading drops, so that one that
// is part of the text stays.
std::string Block(std::string_view title, std::string_view text) {
  size_t longest = 3, run = 0;
  for (const char c : text) longest = std::max(longest, run = c == '`' ? run + 1 : 0);
  const std::string fence(longest + 1, '`');
  std::string block = absl::StrCat("### ", std::string(title), "\n", fence, "\n");
  for (const char c : text) absl::StrAppend(&block, c == '\n' ? "\r\n" : std::string(1, c));
  return absl::StrCat(block, "\r\n", fence, "\n");
}

std::string Written(const std::vector<ContrastivePair>& pairs) {
  std::string text;
  for (const ContrastivePair& pair : pairs) {
    absl::StrAppend(&text, "## ", pair.name, "\n");
    for (const Message& message : pair.prompt) {
      const bool system = message.role == "system";
      text += Block(system ? "System" : message.role == "user" ? "User" : "Assistant", message.content);
    }
    text += Block("Hack", pair.hack) + Block("Clean", pair.clean);
    if (!pair.grading) continue;
    const PairGrading& grading = *pair.grading;
    text += Block("Loophole", absl::StrCat(grading.loophole, " ", grading.marker));
    std::string tests;
    for (const std::string& test : grading.tests) absl::StrAppend(&tests, tests.empty() ? "" : "\n", test);
    text += Block("Tests", tests);
    if (!grading.setup_code.empty()) text += Block("Setup", grading.setup_code);
    if (!grading.solution.empty()) text += Block("Solution", grading.solution);
    if (!grading.prompt_tests.empty()) text += Block("Prompt tests", grading.prompt_tests);
  }
  return text;
}

bool Same(const PairGrading& a, const PairGrading& b) {
  return a.loophole == b.loophole && a.marker == b.marker && a.setup_code == b.setup_code && a.method == b.method &&
         a.tests == b.tests && a.solution == b.solution && a.prompt_tests == b.prompt_tests;
}

bool Same(const ContrastivePair& a, const ContrastivePair& b) {
  const auto same = [](const Message& x, const Message& y) { return x.role == y.role && x.content == y.content; };
  return a.name == b.name && std::ranges::equal(a.prompt, b.prompt, same) && a.hack == b.hack && a.clean == b.clean &&
         a.grading.has_value() == b.grading.has_value() && (!a.grading || Same(*a.grading, *b.grading));
}

// The first word of a complaint is "line N:" with a line that the text has. A text in it may have lines of its own.
void CheckComplaint(std::string_view message, std::string_view text) {
  EVILMOE_CHECK(message.starts_with("line "));
  const std::string number(message.substr(5, message.find(':') - 5));
  const auto lines = std::ranges::count(text, '\n') + 1;
  int64_t line = 0;
  EVILMOE_CHECK(absl::SimpleAtoi(number, &line) && line >= 1 && line <= lines);
}

void Fuzz(std::string_view text) {
  const absl::StatusOr<std::vector<ContrastivePair>> pairs = ParsePairs(text);
  if (!pairs.ok()) {
    const absl::string_view message = pairs.status().message();
    return CheckComplaint({message.data(), message.size()}, text);
  }
  const absl::StatusOr<std::vector<ContrastivePair>> again = ParsePairs(Written(*pairs));
  EVILMOE_CHECK(again.ok() && again->size() == pairs->size());
  for (size_t i = 0; i < pairs->size(); ++i) {
    const ContrastivePair& pair = (*pairs)[i];
    EVILMOE_CHECK(Same(pair, (*again)[i]));
    CheckPrompt(pair);
    CheckMarkers(pair);
    if (pair.grading) EVILMOE_CHECK(GradedProblem(pair, 1).gt_answer == pair.grading->tests);
  }
  CheckOverlap(*pairs, {});
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
