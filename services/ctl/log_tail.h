#pragma once

#include <cstdint>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/ctl/run_files.h"

namespace evilmoe {

// The log of one process of a run, read on as it grows. Not thread-safe.
class LogTail {
 public:
  // `files` must outlive it. NotFound names the logs that there are.
  static absl::StatusOr<LogTail> Open(RunFiles& files, const std::string& component);

  // Whole lines that came since the last call; control characters are written out, since a log may quote anything. After
  // an error it goes on where it was.
  absl::Status CopyTo(std::ostream& out);

 private:
  LogTail(RunFiles& files, std::string path) : files_(&files), path_(std::move(path)) {}

  RunFiles* files_;
  std::string path_;
  int64_t offset_ = 0;
  std::string rest_;  // of a line that is not whole yet
};

}  // namespace evilmoe
