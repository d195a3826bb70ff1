#include "services/coordinator/commit_loop.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(20);
constexpr absl::Duration kLastPause = absl::Seconds(2);
constexpr absl::Duration kIdle = absl::Seconds(1);  // no wait is without a deadline

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

CommitLoop::CommitLoop(Store& store, Logger& logger, CoordinatorMetrics& metrics,
                       std::function<void(absl::Status)> on_broken)
    : store_(store), logger_(logger), metrics_(metrics), on_broken_(std::move(on_broken)), thread_([this] { Run(); }) {}

CommitLoop::~CommitLoop() {
  MutexLock lock(mu_);
  stopping_ = true;
  mu_.NotifyAll();
}

bool CommitLoop::Add(std::vector<StoreChange> changes, Durable durable) {
  MutexLock lock(mu_);
  if (!broken_ && changes.empty() && changes_.empty() && !busy_) return false;
  changes_.insert(changes_.end(), std::make_move_iterator(changes.begin()), std::make_move_iterator(changes.end()));
  waiting_.push_back(std::move(durable));
  mu_.NotifyAll();
  return true;
}

bool CommitLoop::TakeWork() {
  MutexLock lock(mu_);
  busy_ = false;
  const auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !waiting_.empty(); };
  while (!mu_.AwaitFor(kIdle, some)) {
  }
  writing_ = std::exchange(changes_, {});
  waking_ = std::exchange(waiting_, {});
  busy_ = !writing_.empty();
  return !waking_.empty();
}

absl::Status CommitLoop::Write() {
  absl::Duration pause = kFirstPause;
  while (true) {
    const absl::Status applied = store_.Apply(writing_);
    if (applied.ok() || !MayPass(applied)) return applied;
    metrics_.store_failures.Increment();
    logger_.Error("store_failed", {{"error", applied.ToString()}, {"changes", writing_.size()}});
    MutexLock lock(mu_);
    if (mu_.AwaitFor(pause, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_; })) return applied;
    pause = std::min(2 * pause, kLastPause);
  }
}

void CommitLoop::Run() {
  absl::Status state = absl::OkStatus();
  while (TakeWork()) {
    if (state.ok() && !writing_.empty()) {
      if (const absl::Status written = Write(); !written.ok()) {
        logger_.Error("store_broken", {{"error", written.ToString()}});
        state = absl::UnavailableError(absl::StrCat("the coordinator cannot store what it is told: ", written.message()));
        {
          MutexLock lock(mu_);
          broken_ = true;
        }
        on_broken_(written);
      }
      metrics_.commits.Increment();
    }
    for (const Durable& durable : waking_) durable(state);
    waking_.clear();
  }
}

}  // namespace evilmoe
