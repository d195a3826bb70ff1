#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace evilmoe {

// A file of a run's directory as one text. As ReadFileBeneath; ResourceExhausted: it is longer.
absl::StatusOr<std::string> ReadRunText(const std::string& directory, const std::string& path, size_t max_bytes);

}  // namespace evilmoe
