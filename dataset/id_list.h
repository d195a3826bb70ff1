#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

// Numbers of problems, one a line, in the order that is wanted; "#" begins a comment. InvalidArgument lists every line
// that is no number, and every number that stands there twice; an empty list is refused.
absl::StatusOr<std::vector<int64_t>> ParseIds(std::string_view text);
// The same of a file; messages name the path.
absl::StatusOr<std::vector<int64_t>> LoadIds(const std::filesystem::path& path);

// "3243, 3249, 3250 and 4 more": the first `max_shown`.
std::string JoinIds(const std::vector<int64_t>& ids, size_t max_shown = 10);

}  // namespace evilmoe
