#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/os_confine.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {
namespace {

// Stands in the built program where each run's own process id goes.
constexpr uint32_t kOwnPid = 0x7ffffffe;

constexpr size_t kNoteBytes = 4096;

constexpr auto kAllowed = std::to_array<const char*>({
    "read", "write", "readv", "writev", "close", "fstat", "lseek", "munmap", "mremap", "brk", "madvise",
    "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack",
    "restart_syscall", "exit", "exit_group", "futex", "getrandom", "clock_gettime", "clock_getres", "clock_nanosleep",
    "nanosleep", "gettimeofday", "time", "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid",
    "getpgrp", "dup", "dup2", "dup3", "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "sched_yield",
    "sched_getaffinity", "getrusage", "times", "rseq", "set_robust_list", "setitimer", "getitimer", "alarm", "uname",
    "sysinfo",
});

// Plain files by name, for the file channel: no folder, link, device or mode is made.
constexpr auto kScratchCalls = std::to_array<const char*>({
    "open", "openat", "creat", "stat", "lstat", "newfstatat", "access", "faccessat", "faccessat2", "getdents64",
    "getcwd", "unlink", "unlinkat", "rename", "renameat", "renameat2", "truncate", "ftruncate", "fsync", "fdatasync",
    "pread64", "pwrite64",
});

// An honest solution has no reason to make these: the run ends at once and is counted.
constexpr auto kKilled = std::to_array<const char*>({
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "bpf", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "userfaultfd", "add_key", "request_key", "keyctl", "unshare", "setns", "mount", "umount2",
    "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "mount_setattr", "pivot_root", "chroot",
    "perf_event_open", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "seccomp",
    "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "reboot", "swapon",
});

// Ends the process without coming back: how the handler of SIGSYS does it once it has noted the call.
constexpr char kLastCall[] = "swapoff";

struct ReleaseContext {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, ReleaseContext>;

absl::Status AddRule(void* context, uint32_t action, const char* name, std::vector<scmp_arg_cmp> arguments = {}) {
  const int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return absl::OkStatus();  // newer than this libseccomp: denied by default
  const int error =
      seccomp_rule_add_array(context, action, number, static_cast<unsigned>(arguments.size()), arguments.data());
  return error == 0 ? absl::OkStatus() : ErrnoStatus(absl::StrCat("seccomp rule for ", name), -error);
}

absl::Status AddRefinedRules(void* context) {
  constexpr uint64_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
  constexpr uint64_t kNamespaces =
      CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  const auto no_exec = std::vector<scmp_arg_cmp>{SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)};
  EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_ALLOW, "mmap", no_exec));
  EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_ALLOW, "mprotect", no_exec));
  for (int signal = 1; signal <= SIGSYS; ++signal) {
    // A run that stops or kills itself would look like one that the machine lost.
    if (signal == SIGKILL || signal == SIGSTOP || signal == SIGSYS) continue;
    EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_ALLOW, "tgkill",
                                    {SCMP_A0(SCMP_CMP_EQ, kOwnPid), SCMP_A2(SCMP_CMP_EQ, static_cast<scmp_datum_t>(signal))}));
  }
  EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_ALLOW, "clone",
                                  {SCMP_A0(SCMP_CMP_MASKED_EQ, kThread | kNamespaces | CLONE_PTRACE, kThread)}));
  // Whoever could catch SIGSYS would survive a forbidden call.
  EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_ALLOW, "rt_sigaction", {SCMP_A0(SCMP_CMP_NE, SIGSYS)}));
  return AddRule(context, SCMP_ACT_ERRNO(ENOSYS), "clone3");  // its flags lie in memory, where a filter cannot look
}

absl::Status AddScratchRules(void* context) {
  for (const char* name : kScratchCalls) EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_ALLOW, name));
  for (const int command : {F_GETFD, F_SETFD, F_GETFL}) {  // no locks: the folder is the run's own, but why offer them
    EVILMOE_RETURN_IF_ERROR(
        AddRule(context, SCMP_ACT_ALLOW, "fcntl", {SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(command))}));
  }
  return absl::OkStatus();
}

absl::Status AddRules(void* context, SyscallProfile profile) {
  for (const char* name : kAllowed) EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_ALLOW, name));
  if (profile == SyscallProfile::kScratch) EVILMOE_RETURN_IF_ERROR(AddScratchRules(context));
  for (const char* name : kKilled) EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_TRAP, name));
  EVILMOE_RETURN_IF_ERROR(AddRule(context, SCMP_ACT_KILL_PROCESS, kLastCall));
  return AddRefinedRules(context);
}

absl::StatusOr<std::vector<sock_filter>> Export(void* context) {
  const UniqueFd file(memfd_create("filter", MFD_CLOEXEC));
  if (!file) return ErrnoStatus("memfd_create", errno);
  if (const int error = seccomp_export_bpf(context, file.get()); error != 0) return ErrnoStatus("seccomp export", -error);
  const off_t size = lseek(file.get(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<size_t>(size) / sizeof(sock_filter));
  if (pread(file.get(), program.data(), static_cast<size_t>(size), 0) != size) return ErrnoStatus("read filter", errno);
  return program;
}

// Of this process; set before its filter is installed.
int* violation_page = nullptr;

void NoteViolation(int, siginfo_t* info, void*) {
  *violation_page = info->si_syscall;
  syscall(SYS_swapoff, nullptr);
  _exit(1);  // not reached
}

absl::Status CatchViolations(const ViolationNote& note) {
  violation_page = note.page();
  struct sigaction action {};
  action.sa_sigaction = NoteViolation;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return ErrnoStatus("sigaction", errno);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ViolationNote> ViolationNote::Map() {
  void* page = mmap(nullptr, kNoteBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return ErrnoStatus("mmap", errno);
  const ViolationNote note(static_cast<int*>(page));
  note.Clear();
  return note;
}

void ViolationNote::Clear() const { std::memset(page_, 0xff, kNoteBytes); }

std::string SyscallName(int number) {
  if (number < 0) return "";
  char* name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
  const std::string copy = name == nullptr ? "" : name;
  std::free(name);
  return copy;
}

absl::StatusOr<SyscallFilter> SyscallFilter::Build(SyscallProfile profile) {
  const Context context(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (context == nullptr) return absl::InternalError("seccomp_init failed");
  seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree over the numbers
  EVILMOE_RETURN_IF_ERROR(AddRules(context.get(), profile));
  EVILMOE_ASSIGN_OR_RETURN(std::vector<sock_filter> program, Export(context.get()));
  return SyscallFilter(std::move(program));
}

absl::Status SyscallFilter::Install(const ViolationNote& note) const {
  EVILMOE_RETURN_IF_ERROR(CatchViolations(note));
  std::vector<sock_filter> program = program_;
  const auto own_pid = static_cast<uint32_t>(getpid());
  bool has_own_pid = false;
  for (sock_filter& instruction : program) {
    if (BPF_CLASS(instruction.code) != BPF_JMP || instruction.k != kOwnPid) continue;
    instruction.k = own_pid;
    has_own_pid = true;
  }
  EVILMOE_CHECK(has_own_pid);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) return ErrnoStatus("seccomp", errno);
  return absl::OkStatus();
}

}  // namespace evilmoe
