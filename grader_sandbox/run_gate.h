#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"

namespace evilmoe {

// Asked every 50 ms or sooner: OK = go on, anything else ends the wait, or the run, with that status.
using Interrupt = std::function<absl::Status()>;

// Lets many runs go beside each other, or one alone. Whoever waits to be alone comes before those who come later.
// Thread-safe.
class RunGate {
 public:
  // Leaves the gate when destroyed.
  class Pass {
   public:
    Pass(RunGate& gate, bool alone) : gate_(&gate), alone_(alone) {}
    Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)), alone_(other.alone_) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (gate_ != nullptr) gate_->Leave(alone_);
    }

   private:
    RunGate* gate_;
    bool alone_;
  };
  // Both wait; what `interrupt` says when it ends the wait.
  absl::StatusOr<Pass> Enter(const Interrupt& interrupt) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<Pass> EnterAlone(const Interrupt& interrupt) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Leave(bool alone) ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  int num_running_ ABSL_GUARDED_BY(mu_) = 0;
  int num_waiting_alone_ ABSL_GUARDED_BY(mu_) = 0;
  bool alone_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace evilmoe
