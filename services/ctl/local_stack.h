#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "services/ctl/stack_supervisor.h"
#include "services/runs/run_directory.h"

namespace evilmoe {

// Starts the stack of a run in the background (a process of its own session: this binary's hidden verb `stack`) and
// returns once it holds the run's lock; it then asks `action` of its coordinator. OK too when one runs already, which
// knows nothing of the action: ask its coordinator. NotFound: a binary of the stack is missing.
absl::Status EnsureStack(const RunDirectory& directory, const StackShape& shape, RunAction action, const Clock& clock);

// NotFound: a binary of a stack is missing.
absl::Status CheckBinaries();

// A private stack that serves.
struct ServingStack {
  std::string endpoint;  // of its coordinator
  bool started = false;  // for this call; else it was there, and knows nothing of the action
};
// The run's stack: the one that is there, or a new one that asks `action` of its coordinator; one that is about to end is
// waited for first. NotFound: a binary is missing. Internal: it ended at its start. Unavailable after a minute.
absl::StatusOr<ServingStack> OpenStack(const RunDirectory& directory, const StackShape& shape, RunAction action,
                                       const Clock& clock);

// Where the run's stack serves its page, once it does; "" when it does not within a few seconds.
std::string AwaitPage(const RunDirectory& directory, const Clock& clock);

// Whether the run's stack still serves. To be asked after something was asked of its coordinator: a stack that has begun to
// end in between may not have seen it.
bool IsServing(const RunDirectory& directory);

// The hidden verb `stack`: takes the lock, starts the guard, supervises until the run has ended.
// FailedPrecondition: another stack has the run directory.
absl::Status RunStack(const RunDirectory& directory, const StackShape& shape, RunAction action, const Clock& clock,
                      StackSupervisor::Connect connect);

// Starts "/proc/self/exe" with `words` in a session of its own, its output in `log`, and waits until `is_there`. OK too
// when it has ended well by then. Internal: it ended badly; Unavailable after 30 s.
absl::Status StartInBackground(const std::vector<std::string>& words, const std::filesystem::path& log,
                               const std::function<bool()>& is_there, const Clock& clock);

// Options that ask for `shape`, as the hidden verbs read them.
std::vector<std::string> ShapeWords(const StackShape& shape);

// Cores that this process may use; at least 1.
int NumCores();

}  // namespace evilmoe
