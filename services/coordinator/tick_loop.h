#pragma once

#include <filesystem>
#include <thread>

#include "absl/time/time.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/coordinator_metrics.h"

namespace evilmoe {

// Calls the core's steps: every tick ends the waits that are over; once a second overdue leases are freed and the gauges
// set. All references must outlive it; ends in its destructor.
class TickLoop {
 public:
  TickLoop(CoordinatorCore& core, CoordinatorMetrics& metrics, Logger& logger, std::filesystem::path folder);
  ~TickLoop();

 private:
  void Run();
  void EverySecond();

  CoordinatorCore& core_;
  CoordinatorMetrics& metrics_;
  Logger& logger_;
  const std::filesystem::path folder_;  // whose free space is told
  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

}  // namespace evilmoe
