#pragma once

#include <functional>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "trainer/job_control.h"

namespace evilmoe {

// Says once a period that the trainer lives, whatever it is doing, and passes the answer on. Ends by itself once the
// job is lost: the job sees that at its own next call. All references must outlive it; its destructor waits for a beat
// under way.
class JobHeartbeat {
 public:
  // One beat: whether the run is to pause, or an error as of HeartbeatJob.
  using Beat = std::function<absl::StatusOr<bool>()>;

  JobHeartbeat(Beat beat, absl::Duration period, JobControl& control, Logger& logger);
  ~JobHeartbeat();

 private:
  void Run();

  const Beat beat_;
  const absl::Duration period_;
  JobControl& control_;
  Logger& logger_;
  Mutex mu_;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

}  // namespace evilmoe
