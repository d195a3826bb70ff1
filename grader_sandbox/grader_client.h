#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "grader_sandbox/grader_interface.h"

namespace evilmoe {

// A grader behind gRPC. Asks again on Unavailable and ResourceExhausted, with growing pauses, until the deadline.
// Thread-safe.
class GraderClient final : public Grader {
 public:
  // `address`: "unix:/path" or "host:port". `clock` must outlive it.
  GraderClient(const std::string& address, const Clock& clock);
  ~GraderClient() override;
  absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) override;

 private:
  class Channel;
  const std::string address_;
  const Clock& clock_;
  const std::unique_ptr<Channel> channel_;
};

}  // namespace evilmoe
