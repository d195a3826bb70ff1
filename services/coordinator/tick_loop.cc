#include "services/coordinator/tick_loop.h"

#include <utility>

namespace evilmoe {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(50);
constexpr int kTicksASecond = 20;

// The folder of runs is made with its first run; until then it will lie on the disk of the nearest folder above it.
std::filesystem::path NearestFolder(std::filesystem::path folder) {
  std::error_code ignored;
  while (!std::filesystem::exists(folder, ignored) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

}  // namespace

TickLoop::TickLoop(CoordinatorCore& core, CoordinatorMetrics& metrics, Logger& logger, std::filesystem::path folder)
    : core_(core), metrics_(metrics), logger_(logger), folder_(std::move(folder)), thread_([this] { Run(); }) {}

TickLoop::~TickLoop() {
  MutexLock lock(mu_);
  stopping_ = true;
  mu_.NotifyAll();
}

void TickLoop::Run() {
  for (int64_t tick = 0;; ++tick) {
    core_.GiveUpWaits();
    if (tick % kTicksASecond == 0) EverySecond();
    MutexLock lock(mu_);
    if (mu_.AwaitFor(kTick, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; })) return;
  }
}

void TickLoop::EverySecond() {
  if (const int freed = core_.ExpireOverdue(); freed > 0) logger_.Warn("leases_expired", {{"leases", freed}});
  core_.UpdateGauges();
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(NearestFolder(folder_), error);
  if (error) return;
  metrics_.disk_free_bytes.Set(static_cast<double>(space.available));
  metrics_.disk_size_bytes.Set(static_cast<double>(space.capacity));
}

}  // namespace evilmoe
