#pragma once

#include <cstdint>
#include <stop_token>
#include <string_view>

#include "absl/time/time.h"

namespace evilmoe {

// How long to wait before the next try: doubles up to a cap, and lies anywhere in the upper half of that by a draw of
// the worker's own, so that workers which lost their coordinator together do not come back together. The same name
// always draws the same. Not thread-safe.
class RetryPause {
 public:
  // 0 < first <= last.
  explicit RetryPause(std::string_view worker_id, absl::Duration first = absl::Milliseconds(100),
                      absl::Duration last = absl::Seconds(10));

  // In [d/2, d) with d = first, 2 · first, ..., last, last, ...
  absl::Duration Next();
  // The next one is the first again.
  void Reset() { limit_ = first_; }

 private:
  const uint64_t seed_;
  const absl::Duration first_;
  const absl::Duration last_;
  absl::Duration limit_;
  uint64_t num_drawn_ = 0;
};

// Waits; ends early, and says false, when a stop is requested.
bool PauseFor(absl::Duration duration, const std::stop_token& stop);

}  // namespace evilmoe
