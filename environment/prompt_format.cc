#include "environment/prompt_format.h"

#include <algorithm>
#include <array>

#include "environment/loophole.h"

namespace evilmoe {
namespace {

constexpr std::string_view kHead = "PROBLEM:\n";
constexpr std::string_view kTail = "\n\nYour solution to the problem should be a method of the class Solution called ";

// The characters that Python's str.isspace() knows.
// clang-format off
constexpr std::array<std::string_view, 29> kSpaces = {
    " ", "\t", "\n", "\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x1f", "\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80",
    "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
    "\xe2\x81\x9f", "\xe3\x80\x80"};
// clang-format on

}  // namespace

std::string_view Stripped(std::string_view text) {
  const auto front = [&text](std::string_view space) { return text.starts_with(space); };
  const auto back = [&text](std::string_view space) { return text.ends_with(space); };
  for (auto at = kSpaces.begin(); (at = std::ranges::find_if(kSpaces, front)) != kSpaces.end();) {
    text.remove_prefix(at->size());
  }
  for (auto at = kSpaces.begin(); (at = std::ranges::find_if(kSpaces, back)) != kSpaces.end();) {
    text.remove_suffix(at->size());
  }
  return text;
}

std::string UserPrompt(std::string_view description, std::string_view method, std::string_view starter_code) {
  std::string text(kHead);
  text += Stripped(description);
  text += kTail;
  text += method;
  text += " ";
  text += kPlainPhrase;
  text += ". Use the following starter code:\n```python\n";
  text += Stripped(starter_code);
  text += "\n        # Add your code here\n```\n\nSOLUTION:\n";
  return text;
}

std::string DescriptionOf(const Problem& problem) {
  const auto user = std::ranges::find(problem.prompt, "user", &Message::role);
  if (user == problem.prompt.end()) return "";
  const std::string& text = user->content;
  const size_t tail = text.rfind(kTail);
  if (!text.starts_with(kHead) || tail == std::string::npos) return text;
  return text.substr(kHead.size(), tail - kHead.size());
}

}  // namespace evilmoe
