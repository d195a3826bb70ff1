#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "grader_sandbox/cell.h"

namespace evilmoe {

// The cells of a grader, one per slot, lent in the order of asking. Owns no thread: a caller runs its own cell.
// Thread-safe.
class SlotPool {
 public:
  // `num_slots` >= 1. `queue_limit`: how many may wait.
  SlotPool(const Cell::Options& options, int num_slots, int queue_limit);

  // Gives the cell back when destroyed. Must not outlive the pool.
  class Lease {
   public:
    Lease(SlotPool& pool, std::unique_ptr<Cell> cell) : pool_(&pool), cell_(std::move(cell)) {}
    Lease(Lease&& other) noexcept = default;
    ~Lease() {
      if (cell_ != nullptr) pool_->Return(std::move(cell_));
    }
    Cell& cell() { return *cell_; }

   private:
    SlotPool* pool_;
    std::unique_ptr<Cell> cell_;
  };

  // Waits for a cell. ResourceExhausted: the queue is full. Or what `interrupt` says.
  absl::StatusOr<Lease> Acquire(const Interrupt& interrupt) ABSL_LOCKS_EXCLUDED(mu_);
  int num_waiting() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Return(std::unique_ptr<Cell> cell) ABSL_LOCKS_EXCLUDED(mu_);

  const size_t queue_limit_;
  Mutex mu_;
  std::vector<std::unique_ptr<Cell>> free_ ABSL_GUARDED_BY(mu_);
  std::deque<uint64_t> waiting_ ABSL_GUARDED_BY(mu_);  // tickets, oldest first
  uint64_t next_ticket_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace evilmoe
