#include "grader_sandbox/slot_pool.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace evilmoe {

SlotPool::SlotPool(const Cell::Options& options, int num_slots, int queue_limit)
    : queue_limit_(static_cast<size_t>(queue_limit)) {
  for (int i = 0; i < num_slots; ++i) free_.push_back(std::make_unique<Cell>(options));
}

absl::StatusOr<SlotPool::Lease> SlotPool::Acquire(const Interrupt& interrupt) {
  const MutexLock lock(mu_);
  if (free_.empty() && waiting_.size() >= queue_limit_) {
    return absl::ResourceExhaustedError(absl::StrCat("grader: ", waiting_.size(), " samples wait already, retry later"));
  }
  const uint64_t ticket = next_ticket_++;
  waiting_.push_back(ticket);
  const auto my_turn = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !free_.empty() && waiting_.front() == ticket; };
  absl::Status go_on;
  while (go_on.ok() && !mu_.AwaitFor(absl::Milliseconds(50), my_turn)) go_on = interrupt();
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), ticket));
  mu_.NotifyAll();  // the next in line may have become the first
  if (!go_on.ok()) return go_on;
  std::unique_ptr<Cell> cell = std::move(free_.back());
  free_.pop_back();
  return Lease(*this, std::move(cell));
}

int SlotPool::num_waiting() {
  const MutexLock lock(mu_);
  return static_cast<int>(waiting_.size());
}

void SlotPool::Return(std::unique_ptr<Cell> cell) {
  const MutexLock lock(mu_);
  free_.push_back(std::move(cell));
  mu_.NotifyAll();
}

}  // namespace evilmoe
