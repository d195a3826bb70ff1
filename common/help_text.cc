#include "common/help_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace evilmoe {
namespace {

constexpr size_t kMargin = 2;
constexpr size_t kGap = 2;

}  // namespace

std::string WrapWords(std::string_view text, size_t columns, size_t indent) {
  std::string wrapped;
  size_t at = 0;
  for (const absl::string_view word : absl::StrSplit(absl::string_view(text.data(), text.size()), ' ', absl::SkipEmpty())) {
    if (at > 0 && at + 1 + word.size() > columns) {
      absl::StrAppend(&wrapped, "\n", std::string(indent, ' '));
      at = 0;
    }
    absl::StrAppend(&wrapped, at > 0 ? " " : "", word);
    at += (at > 0 ? 1 : 0) + word.size();
  }
  return wrapped;
}

std::string HelpRows(const std::vector<HelpRow>& rows, size_t most) {
  size_t left = 0;
  for (const HelpRow& row : rows) {
    if (row.first.size() <= most) left = std::max(left, row.first.size());
  }
  const size_t start = kMargin + left + kGap;
  std::string text;
  for (const auto& [name, what] : rows) {
    const std::string gap = name.size() > left ? absl::StrCat("\n", std::string(start, ' '))
                                               : std::string(left - name.size() + kGap, ' ');
    absl::StrAppend(&text, std::string(kMargin, ' '), name, what.empty() ? "" : gap,
                    WrapWords(what, kHelpColumns - start, start), "\n");
  }
  return text;
}

std::string HelpSection(std::string_view title, const std::vector<HelpRow>& rows, size_t most) {
  return rows.empty() ? "" : absl::StrCat("\n", std::string(title), ":\n", HelpRows(rows, most));
}

}  // namespace evilmoe
