#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// JSON out of a file that people or other tools write. InvalidArgument says what is wrong and at which byte of `text`:
// it is not JSON (bytes that are not UTF-8 included), it ends too early, a key occurs twice in one object, or it nests
// deeper than kMaxJsonDepth (bounded_json.h).
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text);

}  // namespace evilmoe
