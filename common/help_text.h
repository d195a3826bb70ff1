#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evilmoe {

// How the project's programs lay out what --help prints: lines of 100 columns at most, where the words allow it.

inline constexpr size_t kHelpColumns = 100;

// The words of `text` in lines of at most `columns`; every line but the first has `indent` spaces in front of them.
std::string WrapWords(std::string_view text, size_t columns, size_t indent);

// What stands to the left and to the right of a line of a list.
using HelpRow = std::pair<std::string, std::string>;
// A line a row; the right side begins in one column, wrapped below itself. A left side longer than `most` has a line of
// its own.
std::string HelpRows(const std::vector<HelpRow>& rows, size_t most = 26);
// The same below "title:", with a blank line above; "" without rows.
std::string HelpSection(std::string_view title, const std::vector<HelpRow>& rows, size_t most = 26);

}  // namespace evilmoe
