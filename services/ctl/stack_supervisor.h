#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "services/ctl/coordinator_link.h"
#include "services/ctl/process_keeper.h"
#include "services/ctl/stack_layout.h"
#include "services/ctl/targets_file.h"

namespace evilmoe {

// What a stack asks of its coordinator for the run once it is there.
enum class RunAction { kNone, kResume, kRetry, kCancel };
// "none", "resume", ...
const char* RunActionName(RunAction action);

struct StackOptions {
  RunDirectory directory;
  StackLayout layout;
  RunAction action = RunAction::kNone;
  absl::Duration term_timeout = absl::Seconds(5);  // between SIGTERM and SIGKILL
};

// The private stack of one run: keeps its processes alive until the run's jobs are finished, and ends them.
// Single-threaded; everything it is given must outlive it.
//
// When it gives up on a process it ends the run's job as FAILED in the trainer's place (CoordinatorLink::FailRun), so
// that the store tells the same as run.json.
class StackSupervisor {
 public:
  using Connect = std::function<std::unique_ptr<CoordinatorLink>(const std::string& address)>;

  StackSupervisor(StackOptions options, const Clock& clock, Logger& logger, SignalWaiter& signals, Connect connect);

  // Blocks until the run has ended or is paused and nothing new came for layout.shape.linger, or a signal asks to stop
  // (the run is then `interrupted`). Not OK: the stack could not be started or kept; the run is failed with that message.
  absl::Status Run();

 private:
  absl::Status Start();
  absl::Status Act();
  absl::Status WriteStackFile(const std::string& endpoint);  // "" = it serves no more
  void WatchPage();  // which is elsewhere when the coordinator was started again
  absl::Status Loop();
  // Looks how the run is; its directory is the coordinator's to write.
  absl::Status WatchRun();
  bool IsAtRest() const { return IsFinished(run_) || run_.state == "paused"; }
  bool IsIdle();
  // Whether the run has been put in motion while the stack was about to end; says so to who may ask.
  bool IsWantedAgain();
  void FailRun(const absl::Status& why);

  const StackOptions options_;
  const Connect connect_;
  const Clock& clock_;
  Logger& logger_;
  SignalWaiter& signals_;
  std::unique_ptr<CoordinatorLink> link_;
  RunSummary run_;
  int64_t most_steps_ = 0;  // that the run has had done; a resumed trainer starts below
  TargetsFile targets_;
  std::string page_;  // as the stack file has it
  std::optional<absl::Time> lost_since_;  // the coordinator did not answer from then on
  absl::Time idle_since_;
  bool stop_asked_ = false;
  ProcessKeeper keeper_;
};

// What a keeper needs to know of the layout's processes.
std::vector<KeptProcess> KeptProcesses(const StackLayout& layout);

}  // namespace evilmoe
