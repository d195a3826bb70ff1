#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {

// Starting, watching and ending processes.

// Starts `binary` with these arguments, with `socket` as its descriptor 3, nothing else open but standard error, and next
// to no environment.
absl::StatusOr<pid_t> SpawnWithSocket(const std::filesystem::path& binary, std::vector<std::string> arguments,
                                      int socket);

// Whether this process may signal those of other users (CAP_KILL).
bool MaySignalOtherUsers();

// Sends SIGKILL and waits for the end of a child of this process. One of another user, which it may not signal, has to
// end by itself, and is waited for 5 s at most: false when it has not.
bool KillAndReap(pid_t pid);

// fork(): 0 in the child.
absl::StatusOr<pid_t> ForkProcess();

absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid);
void KillPidfd(int pidfd);

// CPU time that a live process has used; zero when it is gone.
absl::Duration ProcessCpuTime(pid_t pid);

// How a process ended.
struct ProcessExit {
  bool signaled = false;
  int code = 0;  // exit status or signal
  int64_t cpu_us = 0;
  int64_t peak_rss_bytes = 0;
  int violation = -1;  // number of the forbidden system call that it died of; -1 = none, or not known
};
// Blocks. Call for a direct child that is about to end, or has ended.
absl::StatusOr<ProcessExit> ReapChild(pid_t pid);

// Turns address-space randomisation off by running this program once more; returns when there is nothing to do, or
// when the machine does not allow it.
void ReexecWithoutAslr(char** argv);

}  // namespace evilmoe
