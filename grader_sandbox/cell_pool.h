#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "grader_sandbox/cell.h"
#include "grader_sandbox/fair_queue.h"
#include "grader_sandbox/sandbox_host.h"

namespace evilmoe {

// The cells of a grader, one a slot, each with a thread that does one piece of work after another. Thread-safe.
class CellPool {
 public:
  struct Work {
    std::string caller;                              // who shares the slots fairly with the others
    absl::Duration expected = absl::ZeroDuration();  // how long it will take, as far as that is known
    // Called once, on a slot's thread. `interrupt` ends what it runs when the work is cancelled.
    std::function<void(Cell& cell, const Interrupt& interrupt)> run;
    // Called once instead of run() when the work is cancelled before it began, on the thread that cancels it.
    std::function<void(const absl::Status& why)> refuse;
  };

  // `num_slots` >= 1, `queue_limit` >= 0: how much may wait. `host` must outlive it. `on_depth` may be empty; it is
  // told how many wait.
  CellPool(SandboxHost& host, int num_slots, int queue_limit, std::function<void(int)> on_depth);
  // Cancels what waits and what runs.
  ~CellPool();

  // The ticket to cancel it by. ResourceExhausted: the queue is full; nothing of `work` is called.
  absl::StatusOr<uint64_t> Submit(Work work) ABSL_LOCKS_EXCLUDED(mu_);
  // Work that is done, or that nobody knows, is left alone.
  void Cancel(uint64_t ticket) ABSL_LOCKS_EXCLUDED(mu_);

  int num_slots() const { return static_cast<int>(threads_.size()); }
  int num_waiting() ABSL_LOCKS_EXCLUDED(mu_);
  int num_running() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using Flag = std::shared_ptr<std::atomic<bool>>;  // set = cancelled

  void Serve(int slot) ABSL_LOCKS_EXCLUDED(mu_);
  bool ServeNext(Cell& cell) ABSL_LOCKS_EXCLUDED(mu_);
  void TellDepth() ABSL_LOCKS_EXCLUDED(mu_);

  SandboxHost& host_;
  const size_t queue_limit_;
  const std::function<void(int)> on_depth_;
  Mutex depth_mu_ ABSL_ACQUIRED_BEFORE(mu_);  // so that what is told last is what came last
  Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mu_) = 1;
  FairQueue order_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Work> waiting_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Flag> running_ ABSL_GUARDED_BY(mu_);
  std::vector<std::jthread> threads_;
};

}  // namespace evilmoe
