#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evilmoe {

// Fewest single-letter edits that turn `a` into `b`; a swap of two neighbours counts as one.
int EditDistance(std::string_view a, std::string_view b);
// The choice nearest to `word` if it may be a slip of the hand (a third of the letters or fewer; upper case and dashes
// are none), else "".
std::string NearestName(std::string_view word, const std::vector<std::string>& choices);

}  // namespace evilmoe
