#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace evilmoe {

// What Zstandard frames hold, whole. DataLoss: these are none, or the last one is cut short. ResourceExhausted: it would
// be more than `max_bytes`; never much more memory than that is used, whatever a frame says of its size.
absl::StatusOr<std::string> UnpackZstd(std::string_view packed, size_t max_bytes);

}  // namespace evilmoe
