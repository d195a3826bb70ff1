#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/logger.h"
#include "services/ctl/process_keeper.h"
#include "services/ctl/stack_layout.h"
#include "services/ctl/targets_file.h"
#include "services/runs/run_directory.h"

namespace evilmoe {

// The long-lived stack of a home: one coordinator over <home>/coordinator.db, one grader, rollout workers and trainers,
// for any number of runs below <home>, until `down`.

struct LongLivedOptions {
  HomeDirectory home;
  StackLayout layout;
  absl::Duration term_timeout = absl::Seconds(40);  // a trainer that is told to stop ends its step and writes a checkpoint
};

// Keeps the processes alive until a signal asks to stop. Nothing is given up: what dies is started again, after 10 s at
// most; a run that its trainers keep dying of is ended by the coordinator. Single-threaded; everything it is given must
// outlive it.
class LongLivedStack {
 public:
  LongLivedStack(LongLivedOptions options, const Clock& clock, Logger& logger, SignalWaiter& signals);

  // Blocks until a signal. Not OK: the coordinator could not be started.
  absl::Status Run();

 private:
  // up.json, anew where the page has moved: the coordinator was started again.
  absl::Status WriteServed();
  void WatchPage();

  const LongLivedOptions options_;
  Logger& logger_;
  SignalWaiter& signals_;
  TargetsFile targets_;
  std::string page_;  // as up.json has it
  ProcessKeeper keeper_;
};

// `up`: starts the stack in the background and returns its endpoint once it serves; the endpoint of the one that is up
// when there is one. NotFound: a binary is missing. Internal, Unavailable: see its log.
absl::StatusOr<HomeDirectory::Served> StartLongLivedStack(const HomeDirectory& home, const StackShape& shape,
                                                          const StackListener& listener, const Clock& clock);
// The hidden verb behind it.
absl::Status RunLongLivedStack(const HomeDirectory& home, const StackShape& shape, const StackListener& listener,
                               const Clock& clock);
// `down`: ends the stack and waits for its end. False: none was up. DeadlineExceeded.
absl::StatusOr<bool> StopLongLivedStack(const HomeDirectory& home, absl::Duration timeout, const Clock& clock);

}  // namespace evilmoe
