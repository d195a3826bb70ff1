#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {

// A place in the text of a test. For literal_parser.cc and literal_text.cc alone.
class LiteralCursor {
 public:
  explicit LiteralCursor(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void Skip(size_t num_bytes = 1) { at_ += num_bytes; }
  std::string_view Rest() const { return AtEnd() ? std::string_view() : text_.substr(at_); }
  void SkipSpace() {
    while (!AtEnd() && (Peek() == ' ' || Peek() == '\t' || Peek() == '\n' || Peek() == '\r')) ++at_;
  }
  // Skips space, then `token` if it is next.
  bool Eat(std::string_view token) {
    SkipSpace();
    if (!Rest().starts_with(token)) return false;
    at_ += token.size();
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
    const std::string found = AtEnd() ? "the end" : absl::StrCat("`", std::string(Rest().substr(0, 24)), "`");
    return absl::InvalidArgumentError(
        absl::StrCat("test: found ", found, " at byte ", at_, ", expected ", std::string(what)));
  }

 private:
  static bool IsNameByte(char c, bool first) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (static_cast<unsigned char>(c) >= 0x80)) return true;
    return !first && c >= '0' && c <= '9';
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace evilmoe
