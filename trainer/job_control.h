#pragma once

#include <functional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace evilmoe {

// Why a job may have to end before it is done: the process was asked to stop, the coordinator asks for a pause, or the
// job is no longer ours. Thread-safe.
class JobControl {
 public:
  explicit JobControl(std::stop_token process) : forward_(std::move(process), [this] { stop_.request_stop(); }) {}

  // Requested once the process is to stop, or the run to pause; never taken back. The job then ends at the next place
  // that it can go on from.
  std::stop_token stop() const { return stop_.get_token(); }
  // What a call that carries the job's fence came to: true = pause, Aborted = the job is lost. Other errors say nothing
  // about the job.
  void Hear(const absl::StatusOr<bool>& pause) ABSL_LOCKS_EXCLUDED(mu_);
  // OK, or the Aborted that was heard.
  absl::Status Held() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  mutable Mutex mu_;
  absl::Status held_ ABSL_GUARDED_BY(mu_);
  std::stop_source stop_;
  std::stop_callback<std::function<void()>> forward_;
};

// How often the coordinator is told that the trainer lives: a quarter of the silence that it bears, or 5 s where it
// does not say (0).
absl::Duration JobHeartbeatPeriod(int trainer_timeout_ms);

}  // namespace evilmoe
