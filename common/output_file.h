#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace evilmoe {

// To be asked before the work that `path` is to hold the result of: makes the folder that it goes to. InvalidArgument,
// beginning with the name of `option`: the folder cannot be made, `path` is there and no regular file, or it is one of
// `others` (by whatever name): files that are read or written too.
absl::Status PrepareOutputFile(std::string_view option, const std::filesystem::path& path,
                               std::span<const std::filesystem::path> others);

}  // namespace evilmoe
