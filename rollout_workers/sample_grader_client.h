#pragma once

#include <memory>
#include <string>

#include "rollout_workers/sample_grader.h"

namespace evilmoe {

// A grader over gRPC. Retries UNAVAILABLE and RESOURCE_EXHAUSTED (a grader that restarts, a full queue) with backoff
// until the deadline. Thread-safe.
class SampleGraderClient final : public SampleGrader {
 public:
  explicit SampleGraderClient(const std::string& address);
  ~SampleGraderClient() override;

  absl::StatusOr<v1::GradeResponse> Grade(const v1::GradeRequest& request, absl::Time deadline) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
