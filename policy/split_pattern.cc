#define PCRE2_CODE_UNIT_WIDTH 8
#include "policy/split_pattern.h"

#include <pcre2.h>

#include <array>
#include <span>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/code_point_ranges.h"
#include "policy/utf8.h"

namespace evilmoe {
namespace {

// White_Space as class members. PCRE2's own \s also matches U+180E, which is no space since Unicode 6.3.
constexpr char kSpaces[] = R"(\t-\r\x{85}\p{Z})";

// Letters and numbers that PCRE2 may not know yet.
constexpr CodePointRange kNewerLetters[] = {
#include "policy/newer_letters.inc"
};
constexpr CodePointRange kNewerNumbers[] = {
#include "policy/newer_numbers.inc"
};

std::string ClassMembers(std::span<const CodePointRange> ranges) {
  std::string members;
  for (const CodePointRange& range : ranges) {
    absl::StrAppend(&members, "\\x{", absl::Hex(range.first), "}-\\x{", absl::Hex(range.last), "}");
  }
  return members;
}

// Whether `text` (UTF-8) has a letter or number that PCRE2 may not know.
bool HasNewerCharacters(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    // They begin with E1 (U+1C89), EA (U+A7CB) or F0 (from U+105C0 on).
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0xE1 || (byte > 0xE1 && byte < 0xF0 && byte != 0xEA)) continue;
    const char32_t code_point = NextUtf8(text, i).code_point;
    if (Contains(kNewerLetters, code_point) || Contains(kNewerNumbers, code_point)) return true;
  }
  return false;
}

std::string ErrorText(int error) {
  std::array<PCRE2_UCHAR, 160> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

absl::Status NotSupported(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("split pattern: ", std::string(what), " is not supported"));
}

// Writes a regular expression of Oniguruma so that PCRE2 reads the same into it: \s and \S are written out, and with
// `newer` \p{L} and \p{N} as well; everything else stays. Refuses what the two read differently.
class Translation {
 public:
  Translation(std::string_view regex, bool newer) : regex_(regex), newer_(newer) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < regex_.size()) {
      const char c = regex_[at_++];
      if (c == '\\' && at_ < regex_.size()) {
        EVILMOE_RETURN_IF_ERROR(Escape());
        continue;
      }
      if (in_class_ && c == '[') return NotSupported("[ inside a class");
      if (in_class_ && c == '&' && Rest().starts_with('&')) return NotSupported("&& inside a class");
      out_ += c;
      if (in_class_ && c == ']') in_class_ = false;
      if (!in_class_ && c == '[') EVILMOE_RETURN_IF_ERROR(OpenClass());
    }
    return out_;
  }

 private:
  std::string_view Rest() const { return regex_.substr(at_); }

  absl::Status OpenClass() {
    in_class_ = true;
    if (Rest().starts_with('^')) out_ += regex_[at_++];
    return Rest().starts_with(']') ? NotSupported("a class that begins with ]") : absl::OkStatus();
  }

  absl::Status Escape() {
    const char escaped = regex_[at_++];
    const std::string_view category = Rest().substr(0, 3);
    if (escaped == 's') {
      AddClass(kSpaces);
    } else if (escaped == 'S' && !in_class_) {
      absl::StrAppend(&out_, "[^", kSpaces, "]");
    } else if (newer_ && escaped == 'p' && (category == "{L}" || category == "{N}")) {
      at_ += category.size();
      const bool letters = category == "{L}";
      AddClass(letters ? R"(\p{L})" + ClassMembers(kNewerLetters) : R"(\p{N})" + ClassMembers(kNewerNumbers));
    } else if (escaped == 'S' || escaped == 'h' || escaped == 'H') {
      return NotSupported(absl::StrCat("\\", std::string(1, escaped), in_class_ ? " inside a class" : ""));
    } else {
      out_ += {'\\', escaped};
    }
    return absl::OkStatus();
  }

  void AddClass(const std::string& members) {
    absl::StrAppend(&out_, in_class_ ? "" : "[", members, in_class_ ? "" : "]");
  }

  std::string_view regex_;
  bool newer_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

absl::StatusOr<std::shared_ptr<const pcre2_code>> CompilePcre2(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("split pattern: ", ErrorText(error), " at offset ", at));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without JIT the interpreter gives the same answer, later
  return std::shared_ptr<const pcre2_code>(
      code, [](const pcre2_code* owned) { pcre2_code_free(const_cast<pcre2_code*>(owned)); });
}

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

absl::StatusOr<SplitPattern> SplitPattern::Compile(std::string_view regex) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string plain, Translation(regex, /*newer=*/false).Run());
  EVILMOE_ASSIGN_OR_RETURN(const std::string newer, Translation(regex, /*newer=*/true).Run());
  SplitPattern pattern;
  EVILMOE_ASSIGN_OR_RETURN(pattern.code_, CompilePcre2(plain));
  EVILMOE_ASSIGN_OR_RETURN(pattern.newer_code_, CompilePcre2(newer));
  return pattern;
}

absl::Status SplitPattern::Split(std::string_view text, std::vector<std::string_view>& pieces) const {
  // Classes with many ranges are slower, and few texts need them.
  const pcre2_code* code = HasNewerCharacters(text) ? newer_code_.get() : code_.get();
  const std::unique_ptr<pcre2_match_data, FreeMatchData> match(pcre2_match_data_create_from_pattern(code, nullptr));
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match.get());
  size_t done = 0;   // everything before is in `pieces`
  size_t start = 0;  // where to look next; ahead of `done` after an empty match
  while (start < text.size()) {
    const auto run = [&](uint32_t options) {
      return pcre2_match(code, subject, text.size(), start, options, match.get(), nullptr);
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
