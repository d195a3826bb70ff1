#pragma once

#include <memory>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "grader_sandbox/grader_interface.h"
#include "proto/security/channel_security.h"

namespace evilmoe {

// A grader behind gRPC. Sends a problem once and its key from then on. Asks again on Unavailable and ResourceExhausted,
// with growing pauses, until the deadline. Thread-safe.
class GraderClient final : public Grader {
 public:
  // `address`: "unix:/path" or "host:port". With a `security` that no channel can have (OpenChannel()), every grade
  // fails with why. `clock` must outlive it.
  GraderClient(const std::string& address, const Clock& clock, const ChannelSecurity& security = {});
  ~GraderClient() override;
  absl::StatusOr<GradeResult> Grade(const GradeTask& task, absl::Time deadline) override;

 private:
  bool IsSent(const std::string& key) ABSL_LOCKS_EXCLUDED(mu_);
  void NoteSent(const std::string& key, bool sent) ABSL_LOCKS_EXCLUDED(mu_);

  class Channel;
  const std::string address_;
  const Clock& clock_;
  const std::unique_ptr<Channel> channel_;
  Mutex mu_;
  std::set<std::string> sent_ ABSL_GUARDED_BY(mu_);  // keys of problems that the grader has had
};

}  // namespace evilmoe
