#pragma once

#include "absl/status/status.h"

namespace evilmoe {

// What evilmoe-ctl ends with, and the binaries that do its offline verbs: part of their interface.
inline constexpr int kExitOk = 0;
inline constexpr int kExitRunFailed = 1;  // the run, or the work itself; a line of input was bad
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnreachable = 3;
inline constexpr int kExitNotFound = 4;
inline constexpr int kExitRefused = 5;

inline int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return kExitOk;
    case absl::StatusCode::kInvalidArgument: return kExitUsage;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded: return kExitUnreachable;
    case absl::StatusCode::kNotFound: return kExitNotFound;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kDataLoss: return kExitRunFailed;
    default: return kExitRefused;
  }
}

}  // namespace evilmoe
