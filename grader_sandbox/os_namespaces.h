#pragma once

#include <sys/types.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {

// What a zygote does to itself once its imports are done: it becomes another user and leaves the machine's resources
// behind. Call from a process with one thread.

// Becomes `uid` (and the group of the same number) for good. Internal: not root, or not allowed.
absl::Status BecomeUser(uint32_t uid);

// Moves into new user, mount, net, ipc and uts namespaces. What is left of the file system is an empty read-only root
// with a folder to mount scratch folders on; there is no network and no way to a further user namespace. The process
// holds all capabilities inside and none outside. Internal: this machine or container does not allow it.
absl::Status EnterNamespaces();

// Keeps of all capabilities only the one that namespaces and mounts inside ours need (CAP_SYS_ADMIN).
absl::Status KeepNamespaceCapability();

// fork(), with the child as the first process of a pid namespace of its own. 0 in the child.
absl::StatusOr<pid_t> ForkInPidNamespace();

// Behind EnterNamespaces(): an empty folder in memory (kScratchBytes, kScratchFiles) for one run. It lives as long as
// the descriptor that is given back, or a process that works in it.
absl::StatusOr<UniqueFd> MountScratchFolder();
void UnmountScratchFolder();

}  // namespace evilmoe
