#include "trainer/job_control.h"

namespace evilmoe {

void JobControl::Hear(const absl::StatusOr<bool>& pause) {
  if (absl::IsAborted(pause.status())) {
    MutexLock lock(mu_);
    if (held_.ok()) held_ = pause.status();
  }
  if (pause.ok() && *pause) stop_.request_stop();
}

absl::Status JobControl::Held() const {
  MutexLock lock(mu_);
  return held_;
}

absl::Duration JobHeartbeatPeriod(int trainer_timeout_ms) {
  return trainer_timeout_ms > 0 ? absl::Milliseconds(trainer_timeout_ms) / 4 : absl::Seconds(5);
}

}  // namespace evilmoe
