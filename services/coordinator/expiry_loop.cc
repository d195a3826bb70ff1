#include "services/coordinator/expiry_loop.h"

#include <utility>

namespace evilmoe {

ExpiryLoop::ExpiryLoop(CoordinatorCore& core, CoordinatorMetrics& metrics, Logger& logger,
                       std::filesystem::path folder, absl::Duration period)
    : core_(core), metrics_(metrics), logger_(logger), folder_(std::move(folder)), period_(period),
      thread_([this] { Run(); }) {}

ExpiryLoop::~ExpiryLoop() {
  MutexLock lock(mu_);
  stopping_ = true;
  mu_.NotifyAll();
}

void ExpiryLoop::Run() {
  while (true) {
    Tick();
    MutexLock lock(mu_);
    if (mu_.AwaitFor(period_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; })) return;
  }
}

void ExpiryLoop::Tick() {
  if (const absl::StatusOr<int> freed = core_.ExpireOverdue(); !freed.ok()) {
    logger_.Error("expiry_failed", {{"error", freed.status().ToString()}});
  }
  if (const absl::Status status = core_.UpdateGauges(); !status.ok()) {
    logger_.Error("gauges_failed", {{"error", status.ToString()}});
  }
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder_, error);
  if (!error) metrics_.disk_free_bytes.Set(static_cast<double>(space.available));
}

}  // namespace evilmoe
