#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "services/ctl/coordinator_link.h"
#include "services/ctl/process.h"
#include "services/ctl/restart_policy.h"
#include "services/ctl/stack_layout.h"

namespace evilmoe {

// Keeps the processes of one run's private stack alive until the run's jobs are finished: starts them, restarts what
// dies (restart_policy.h), mirrors the coordinator's events and the run's state into the run directory, and ends them
// all (SIGTERM, 5 s, SIGKILL). Single-threaded; everything it is given must outlive it.
//
// When it gives up on a process it ends the run's job as FAILED in the trainer's place (CoordinatorLink::FailRun), so
// that the store tells the same as run.json.
class StackSupervisor {
 public:
  using Connect = std::function<std::unique_ptr<CoordinatorLink>(const std::string& address)>;

  StackSupervisor(StackOptions options, const Clock& clock, Logger& logger, SignalWaiter& signals, Connect connect);
  ~StackSupervisor();

  // Blocks until the run has ended and nothing new came for options.shape.linger, or a signal asks to stop (the run is then
  // `interrupted`). Not OK: the stack could not be started or kept; the run is failed with that message.
  absl::Status Run();

 private:
  struct Child {
    StackProcess process;
    pid_t pid = 0;  // 0 = not running
    absl::Time started;
    absl::Time start_at;  // when to start it next; infinite future = never
    int64_t steps_at_start = 0;
    int deaths_in_a_row = 0;
    int life = 0;
  };

  absl::Status Start();
  absl::Status StartChild(Child& child);
  absl::Status AwaitCoordinator();
  absl::Status Loop();
  absl::Status ReapChildren();
  absl::Status StartDueChildren();
  void GatherTargets();
  // Copies new events and the run's state into the run directory.
  absl::Status MirrorRun();
  bool IsIdle();
  void StopChildren();
  void EndAll(std::span<Child> children);  // SIGTERM, SIGKILL after a while
  void FailRun(const absl::Status& why);

  const StackOptions options_;
  const Connect connect_;
  const Clock& clock_;
  Logger& logger_;
  SignalWaiter& signals_;
  std::vector<Child> children_;
  std::unique_ptr<CoordinatorLink> link_;
  RunSummary run_;
  int64_t most_steps_ = 0;  // that the run has had done; a resumed trainer starts below
  std::string targets_;
  std::optional<absl::Time> lost_since_;  // the coordinator did not answer from then on
  absl::Time idle_since_;
};

}  // namespace evilmoe
