#define PCRE2_CODE_UNIT_WIDTH 8
#include "policy/split_pattern.h"

#include <pcre2.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/utf8.h"

namespace evilmoe {
namespace {

// White_Space as class members. PCRE2's own \s also matches U+180E, which is no space since Unicode 6.3.
constexpr char kSpaces[] = R"(\t-\r\x{85}\p{Z})";

std::string ErrorText(int error) {
  std::array<PCRE2_UCHAR, 160> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// Writes \s and \S out; everything else stays.
absl::StatusOr<std::string> ForPcre2(std::string_view regex) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char c = regex[i];
    if (c != '\\' || i + 1 == regex.size()) {
      if (c == '[') in_class = true;
      if (c == ']') in_class = false;
      out += c;
      continue;
    }
    const char escaped = regex[++i];
    if (escaped == 's') {
      absl::StrAppend(&out, in_class ? "" : "[", kSpaces, in_class ? "" : "]");
    } else if (escaped == 'S' && !in_class) {
      absl::StrAppend(&out, "[^", kSpaces, "]");
    } else if (escaped == 'S' || escaped == 'h' || escaped == 'H') {
      return absl::InvalidArgumentError(absl::StrCat("split pattern: \\", std::string(1, escaped),
                                                     in_class ? " inside a class" : "", " is not supported"));
    } else {
      out += {c, escaped};
    }
  }
  return out;
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

absl::StatusOr<SplitPattern> SplitPattern::Compile(std::string_view regex) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string pattern, ForPcre2(regex));
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("split pattern: ", ErrorText(error), " at offset ", at));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without JIT the interpreter gives the same answer, later
  return SplitPattern(std::shared_ptr<const pcre2_code>(
      code, [](const pcre2_code* owned) { pcre2_code_free(const_cast<pcre2_code*>(owned)); }));
}

absl::Status SplitPattern::Split(std::string_view text, std::vector<std::string_view>& pieces) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> match(
      pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match.get());
  size_t done = 0;   // everything before is in `pieces`
  size_t start = 0;  // where to look next; ahead of `done` after an empty match
  while (start < text.size()) {
    const auto run = [&](uint32_t options) {
      return pcre2_match(code_.get(), subject, text.size(), start, options, match.get(), nullptr);
    };
    int result = run(PCRE2_NO_UTF_CHECK);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) return absl::ResourceExhaustedError(absl::StrCat("split pattern: ", ErrorText(result)));
    const size_t begin = found[0];
    const size_t end = found[1];
    if (end <= begin) {
      if (begin >= text.size()) break;
      start = begin + NextUtf8(text, begin).bytes;
      continue;
    }
    if (begin > done) pieces.push_back(text.substr(done, begin - done));
    pieces.push_back(text.substr(begin, end - begin));
    done = start = end;
  }
  if (done < text.size()) pieces.push_back(text.substr(done));
  return absl::OkStatus();
}

}  // namespace evilmoe
