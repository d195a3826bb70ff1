#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {

// A place in the text of a test, which is UTF-8. For literal_parser.cc and literal_text.cc alone.
class LiteralCursor {
 public:
  explicit LiteralCursor(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void Skip(size_t num_bytes = 1) { at_ += num_bytes; }
  std::string_view Rest() const { return AtEnd() ? std::string_view() : text_.substr(at_); }
  // As in Python, the end of a line is space only inside brackets.
  void SkipSpace() {
    while (Peek() == ' ' || Peek() == '\t' || (nesting_ > 0 && Peek() == '\n')) ++at_;
  }
  void SkipSpaceAndLines() {
    while (Peek() == ' ' || Peek() == '\t' || Peek() == '\n') ++at_;
  }
  // Skips space, then `token` if it is next.
  bool Eat(std::string_view token) {
    SkipSpace();
    if (!Rest().starts_with(token)) return false;
    at_ += token.size();
    if (token == "(" || token == "[" || token == "{") ++nesting_;
    if (token == ")" || token == "]" || token == "}") --nesting_;
    return true;
  }
  // Skips space, then takes a name; empty when there is none.
  std::string_view Name() {
    SkipSpace();
    size_t length = 0;
    while (IsNameByte(Peek(length), length == 0)) ++length;
    const std::string_view name = text_.substr(at_, length);
    at_ += length;
    return name;
  }
  absl::Status Expected(std::string_view what) const {
    const std::string found = AtEnd()          ? "the end"
                              : Peek() == '\n' ? "the end of a line"
                                               : absl::StrCat("`", std::string(Excerpt()), "`");
    return absl::InvalidArgumentError(
        absl::StrCat("test: found ", found, " at byte ", at_, ", expected ", std::string(what)));
  }

 private:
  static bool IsNameByte(char c, bool first) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_') return true;
    return !first && c >= '0' && c <= '9';
  }
  // A few whole characters of this line.
  std::string_view Excerpt() const {
    std::string_view excerpt = Rest().substr(0, Rest().find('\n'));
    size_t size = std::min<size_t>(excerpt.size(), 24);
    while (size < excerpt.size() && (excerpt[size] & 0xc0) == 0x80) --size;
    return excerpt.substr(0, size);
  }

  std::string_view text_;
  size_t at_ = 0;
  int nesting_ = 0;  // open brackets
};

}  // namespace evilmoe
