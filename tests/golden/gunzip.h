#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace evilmoe {

// The content of a .gz file.
absl::StatusOr<std::string> Gunzip(const std::filesystem::path& file);

}  // namespace evilmoe
