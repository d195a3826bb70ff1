#include "grader_sandbox/run_gate.h"

#include "absl/time/time.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kAskEvery = absl::Milliseconds(50);

}  // namespace

absl::StatusOr<RunGate::Pass> RunGate::Enter(const Interrupt& interrupt) {
  const MutexLock lock(mu_);
  const auto open = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !alone_ && num_waiting_alone_ == 0; };
  absl::Status go_on;
  while (go_on.ok() && !mu_.AwaitFor(kAskEvery, open)) go_on = interrupt();
  if (!go_on.ok()) return go_on;
  ++num_running_;
  return Pass(*this, /*alone=*/false);
}

absl::StatusOr<RunGate::Pass> RunGate::EnterAlone(const Interrupt& interrupt) {
  const MutexLock lock(mu_);
  ++num_waiting_alone_;
  const auto empty = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !alone_ && num_running_ == 0; };
  absl::Status go_on;
  while (go_on.ok() && !mu_.AwaitFor(kAskEvery, empty)) go_on = interrupt();
  --num_waiting_alone_;
  if (!go_on.ok()) {
    mu_.NotifyAll();
    return go_on;
  }
  alone_ = true;
  return Pass(*this, /*alone=*/true);
}

void RunGate::Leave(bool alone) {
  const MutexLock lock(mu_);
  if (alone) alone_ = false;
  else --num_running_;
  mu_.NotifyAll();
}

}  // namespace evilmoe
