#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// Files of a run's directory for people who do not see it. Paths come from outside: they are relative, and neither
// their names nor a link on their way leads out of the directory (openat2, RESOLVE_BENEATH). Stateless.

// Calls take(chunk, size of the whole file) for the bytes of a regular file from `offset` on, at most 1 MiB each, once
// with an empty chunk where there are none; until it returns false (then Cancelled). InvalidArgument: the path leaves the
// directory or is no file's, or the offset lies behind its end. NotFound. Unavailable: it cannot be read.
absl::Status ReadFileBeneath(const std::filesystem::path& directory, const std::string& path, int64_t offset,
                             const std::function<bool(std::string_view chunk, int64_t size_bytes)>& take);

struct FileBeneath {
  std::string path;  // relative to the directory
  int64_t size_bytes = 0;
  int64_t modified_unix_ns = 0;
};
// Regular files below a folder of the directory ("" = all), by path; links are left out. Errors as above;
// ResourceExhausted: more than max_files.
absl::StatusOr<std::vector<FileBeneath>> ListFilesBeneath(const std::filesystem::path& directory,
                                                          const std::string& folder, size_t max_files = 100'000);

}  // namespace evilmoe
