#pragma once

#include <string_view>

#include "nlohmann/json.hpp"

namespace evilmoe {

// Deepest nesting that a file or a line from outside may have; none that we read needs ten.
inline constexpr int kMaxJsonDepth = 64;

// nlohmann::json::parse without exceptions, for text from outside: what is not JSON, or nests deeper than
// kMaxJsonDepth, comes out discarded (is_discarded(), and no is_...() of another kind). The library copies, compares
// and prints a value recursively, so without the limit a file of brackets would run the stack over.
nlohmann::json ParseBoundedJson(std::string_view text);

}  // namespace evilmoe
