#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "services/ctl/run_directory.h"
#include "services/ctl/stack_supervisor.h"

namespace evilmoe {

// Starts the stack of a run in the background (a process of its own session: this binary's hidden verb `stack`) and
// returns once it holds the run's lock. OK too when one runs already. NotFound: a binary of the stack is missing.
absl::Status EnsureStack(const RunDirectory& directory, const StackShape& shape, const Clock& clock);

// The address of the run's coordinator, once the stack has written it. Unavailable after `timeout`, or at once when
// there is no stack.
absl::StatusOr<std::string> AwaitEndpoint(const RunDirectory& directory, absl::Duration timeout, const Clock& clock);

// The hidden verb `stack`: takes the lock, starts the guard, supervises until the run has ended.
// FailedPrecondition: another stack has the run directory.
absl::Status RunStack(const RunDirectory& directory, const StackShape& shape, const Clock& clock,
                      StackSupervisor::Connect connect);

// The hidden verb `stack-guard`: waits for the end of standard input, a pipe that the supervisor alone holds, then
// ends whatever is left of its process group and removes `sockets`. So a supervisor that was killed leaves nothing.
void RunStackGuard(const std::filesystem::path& sockets);

// Cores that this process may use; at least 1.
int NumCores();

}  // namespace evilmoe
