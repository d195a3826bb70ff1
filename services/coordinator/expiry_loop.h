#pragma once

#include <filesystem>
#include <thread>

#include "absl/time/time.h"
#include "common/logger.h"
#include "common/mutex.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/coordinator_metrics.h"

namespace evilmoe {

// Once a period: frees overdue leases and sets the gauges. All references must outlive it; ends in its destructor.
class ExpiryLoop {
 public:
  ExpiryLoop(CoordinatorCore& core, CoordinatorMetrics& metrics, Logger& logger, std::filesystem::path folder,
             absl::Duration period);
  ~ExpiryLoop();

 private:
  void Run();
  void Tick();

  CoordinatorCore& core_;
  CoordinatorMetrics& metrics_;
  Logger& logger_;
  const std::filesystem::path folder_;  // whose free space is told
  const absl::Duration period_;
  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;
};

}  // namespace evilmoe
