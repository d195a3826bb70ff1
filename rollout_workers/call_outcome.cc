#include "rollout_workers/call_outcome.h"

namespace evilmoe {

CallOutcome OutcomeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return CallOutcome::kOk;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled: return CallOutcome::kLater;
    case absl::StatusCode::kAborted: return CallOutcome::kTaken;
    case absl::StatusCode::kFailedPrecondition: return CallOutcome::kUnknown;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented: return CallOutcome::kForbidden;
    default: return CallOutcome::kRefused;
  }
}

}  // namespace evilmoe
