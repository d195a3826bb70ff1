#include "trainer/job_heartbeat.h"

#include <string>
#include <utility>

namespace evilmoe {

JobHeartbeat::JobHeartbeat(Beat beat, absl::Duration period, JobControl& control, Logger& logger)
    : beat_(std::move(beat)), period_(period), control_(control), logger_(logger), thread_([this] { Run(); }) {}

JobHeartbeat::~JobHeartbeat() {
  MutexLock lock(mu_);
  ending_ = true;
  mu_.NotifyAll();
}

void JobHeartbeat::Run() {
  while (true) {
    {
      MutexLock lock(mu_);
      if (mu_.AwaitFor(period_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return ending_; })) return;
    }
    const absl::StatusOr<bool> pause = beat_();
    control_.Hear(pause);
    if (!pause.ok()) logger_.Warn("heartbeat_failed", {{"error", std::string(pause.status().message())}});
    if (absl::IsAborted(pause.status())) return;
  }
}

}  // namespace evilmoe
