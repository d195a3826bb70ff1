#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "evilmoe/v1/grader.pb.h"

namespace evilmoe {

// Whoever grades one sample for the worker. Thread-safe. The real one asks a grader; tests bring their own.
class SampleGrader {
 public:
  virtual ~SampleGrader() = default;
  // Error codes as GraderService.Grade; what a retry can mend has been retried until `deadline`.
  virtual absl::StatusOr<v1::GradeResponse> Grade(const v1::GradeRequest& request, absl::Time deadline) = 0;
};

}  // namespace evilmoe
