#include "grader_sandbox/os_namespaces.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/os_scratch.h"

namespace evilmoe {
namespace {

// Who the zygote is inside its user namespace: nobody in particular, and not root.
constexpr int kInnerId = 65534;
constexpr char kScratchPath[] = "/scratch";

absl::Status MapIds(uid_t uid, gid_t gid) {
  EVILMOE_RETURN_IF_ERROR(WriteKernelFile("/proc/self/setgroups", "deny"));
  EVILMOE_RETURN_IF_ERROR(WriteKernelFile("/proc/self/uid_map", absl::StrCat(kInnerId, " ", uid, " 1")));
  return WriteKernelFile("/proc/self/gid_map", absl::StrCat(kInnerId, " ", gid, " 1"));
}

// A tmpfs of one folder over /proc, the one folder that is certain to be there; then that is all there is.
absl::Status ReplaceRoot() {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return ErrnoStatus("mount private", errno);
  if (mount("tmpfs", "/proc", "tmpfs", kFlags, "size=4k,nr_inodes=4,mode=0555") != 0) return ErrnoStatus("mount", errno);
  if (mkdir((std::string("/proc") + kScratchPath).c_str(), 0755) != 0) return ErrnoStatus("mkdir", errno);
  if (mount(nullptr, "/proc", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kFlags, nullptr) != 0) {
    return ErrnoStatus("mount read-only", errno);
  }
  if (chdir("/proc") != 0) return ErrnoStatus("chdir", errno);
  // The old root ends up on top of the new one, and is taken off.
  if (syscall(SYS_pivot_root, ".", ".") != 0) return ErrnoStatus("pivot_root", errno);
  if (umount2(".", MNT_DETACH) != 0) return ErrnoStatus("umount", errno);
  if (chdir("/") != 0) return ErrnoStatus("chdir", errno);
  return absl::OkStatus();
}

}  // namespace

absl::Status BecomeUser(uint32_t uid) {
  if (setgroups(0, nullptr) != 0) return ErrnoStatus("setgroups", errno);
  if (setresgid(uid, uid, uid) != 0) return ErrnoStatus("setresgid", errno);
  if (setresuid(uid, uid, uid) != 0) return ErrnoStatus("setresuid", errno);
  return absl::OkStatus();
}

absl::Status EnterNamespaces() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  // A process that changed its user is not dumpable, and then its files in /proc are root's.
  if (prctl(PR_SET_DUMPABLE, 1) != 0) return ErrnoStatus("prctl(dumpable)", errno);
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
    return ErrnoStatus("unshare", errno);
  }
  EVILMOE_RETURN_IF_ERROR(MapIds(uid, gid));
  EVILMOE_RETURN_IF_ERROR(WriteKernelFile("/proc/sys/user/max_user_namespaces", "0"));
  EVILMOE_RETURN_IF_ERROR(ReplaceRoot());
  if (sethostname("sandbox", 7) != 0) return ErrnoStatus("sethostname", errno);
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return ErrnoStatus("prctl(dumpable)", errno);
  return absl::OkStatus();
}

absl::Status KeepNamespaceCapability() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct kept[2] = {};
  kept[0].effective = kept[0].permitted = 1U << CAP_SYS_ADMIN;
  if (syscall(SYS_capset, &header, kept) != 0) return ErrnoStatus("capset", errno);
  return absl::OkStatus();
}

absl::StatusOr<pid_t> ForkInPidNamespace() {
  // glibc has no fork() with flags. The zygote has one thread, so no lock of the C library can be held here, and
  // since 2.34 glibc asks the kernel for a thread's id where it signals itself.
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (pid < 0) return ErrnoStatus("clone", errno);
  return pid;
}

absl::StatusOr<UniqueFd> MountScratchFolder() {
  const std::string options = absl::StrCat("size=", kScratchBytes, ",nr_inodes=", kScratchFiles, ",mode=0700");
  if (mount("tmpfs", kScratchPath, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) != 0) {
    return ErrnoStatus("mount scratch", errno);
  }
  UniqueFd folder(open(kScratchPath, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return ErrnoStatus("open scratch", errno);
  return folder;
}

void UnmountScratchFolder() { umount2(kScratchPath, MNT_DETACH); }

}  // namespace evilmoe
