#include "environment/prompt_tests.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

std::string Squeezed(std::string_view text) {
  std::string squeezed;
  for (const char c : text) {
    const auto letter = static_cast<unsigned char>(c);
    if (!absl::ascii_isspace(letter)) squeezed += absl::ascii_tolower(letter);
  }
  return squeezed;
}

}  // namespace

std::string PromptTests(std::string_view name, std::span<const std::string> asserts) {
  EVILMOE_CHECK(!asserts.empty());
  std::string tests = absl::StrCat("def ", std::string(name), "():");
  for (const std::string& test : asserts.first(std::min(asserts.size(), kMaxPromptAsserts))) {
    absl::StrAppend(&tests, "\n    ", test);
  }
  return tests;
}

absl::Status ShowPromptTests(std::string_view tests, std::string& message) {
  const size_t fence = message.rfind("\n```");
  if (fence == std::string::npos) {
    return absl::InvalidArgumentError("prompt: no fenced starter code, expected one: the tests stand behind it");
  }
  message.insert(fence + 1, absl::StrCat("\n", std::string(tests), "\n"));
  return absl::OkStatus();
}

bool SameTestFunction(std::string_view one, std::string_view other) { return Squeezed(one) == Squeezed(other); }

}  // namespace evilmoe
