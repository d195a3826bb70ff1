#include "rollout_workers/retry_pause.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "common/seed.h"

namespace evilmoe {

RetryPause::RetryPause(std::string_view worker_id, absl::Duration first, absl::Duration last)
    : seed_(StreamSeed(0, worker_id, 0)), first_(first), last_(last), limit_(first) {}

absl::Duration RetryPause::Next() {
  const absl::Duration pause = limit_ * (0.5 + 0.5 * CounterUniform(seed_, num_drawn_++));
  limit_ = std::min(2 * limit_, last_);
  return pause;
}

bool PauseFor(absl::Duration duration, const std::stop_token& stop) {
  std::mutex mu;
  std::condition_variable_any stopped;
  std::unique_lock lock(mu);
  stopped.wait_for(lock, stop, absl::ToChronoMilliseconds(duration), [] { return false; });
  return !stop.stop_requested();
}

}  // namespace evilmoe
