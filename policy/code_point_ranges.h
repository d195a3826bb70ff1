#pragma once

#include <algorithm>
#include <span>

namespace evilmoe {

// A set of code points as sorted ranges; both ends belong to a range.
struct CodePointRange {
  char32_t first;
  char32_t last;
};

inline bool Contains(std::span<const CodePointRange> sorted, char32_t code_point) {
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), code_point,
                                      [](const CodePointRange& range, char32_t c) { return range.last < c; });
  return found != sorted.end() && found->first <= code_point;
}

}  // namespace evilmoe
