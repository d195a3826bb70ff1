#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// Whole file. NotFound, ResourceExhausted (larger than `max_bytes`), or Unavailable (the read failed);
// the message names the path.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, size_t max_bytes = size_t{1} << 32);

// Replaces `path` in one step: writes a temporary file beside it, fsyncs it, renames it, fsyncs the folder.
// After a crash the path holds the old bytes or the new ones, never a mix; after an error nothing else is left.
absl::Status WriteFileAtomic(const std::filesystem::path& path, std::string_view bytes);

// Removes the temporary files that processes left in `folder` when they were killed in a WriteFileAtomic() of a file
// whose name begins with `prefix`. Nobody may be writing one meanwhile. A folder that is not there has none.
void RemoveUnfinishedWrites(const std::filesystem::path& folder, std::string_view prefix = "");

// Appends with one write(2).
absl::Status AppendFile(const std::filesystem::path& path, std::string_view bytes);

// Appends a whole line (a newline is added) with one write(2).
absl::Status AppendLine(const std::filesystem::path& path, std::string_view line);

// Flushes a file or a folder to the disk.
absl::Status SyncPath(const std::filesystem::path& path);

}  // namespace evilmoe
