#include "dataset/check_source.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr std::string_view kCandidate = "candidate";
constexpr std::string_view kAssertLine = "    assert ";
constexpr size_t kIndent = 4;

bool IsWordByte(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Just behind the string literal whose opening quote stands at `at`; the end of `text` where it is never closed.
size_t EndOfString(std::string_view text, size_t at) {
  const char quote = text[at];
  const std::string triple(3, quote);
  const std::string_view closing = text.substr(at).starts_with(triple) ? std::string_view(triple) : text.substr(at, 1);
  for (size_t i = at + closing.size(); i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text.substr(i).starts_with(closing)) {
      return i + closing.size();
    }
  }
  return text.size();
}

std::string WithFunction(std::string_view statement, std::string_view function) {
  std::string out;
  for (size_t at = 0; at < statement.size();) {
    size_t end = at + 1;
    if (statement[at] == '"' || statement[at] == '\'') {
      end = EndOfString(statement, at);
    } else if (IsWordByte(statement[at])) {
      while (end < statement.size() && IsWordByte(statement[end])) ++end;
    }
    const std::string_view part = statement.substr(at, end - at);
    out += part == kCandidate ? function : part;
    at = end;
  }
  return out;
}

}  // namespace

std::vector<std::string> AssertsOfCheck(std::string_view check, std::string_view function) {
  std::vector<std::string> statements;
  while (!check.empty()) {
    const size_t end = check.find('\n');
    const std::string_view line = check.substr(0, end);
    check.remove_prefix(end == std::string_view::npos ? check.size() : end + 1);
    if (line.starts_with(kAssertLine)) {
      statements.emplace_back(line.substr(kIndent));
    } else if (!statements.empty() && line.find_first_not_of(" \t\r") != std::string_view::npos) {
      absl::StrAppend(&statements.back(), "\n", std::string(line));
    }
  }
  for (std::string& statement : statements) statement = WithFunction(statement, function);
  return statements;
}

}  // namespace evilmoe
