#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/unit/grader_sandbox/hostile_native.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

std::vector<HostileCase> Attacks() {
  return {
      Killed(83, "ptrace", SYS_ptrace),
      Killed(83, "process_vm_readv", SYS_process_vm_readv),
      Killed(83, "process_vm_writev", SYS_process_vm_writev),
      Killed(83, "process_madvise", SYS_process_madvise),
      Denied(
          83, "Kcmp",
          {{SYS_kcmp, "pid, pid, 0, 0, 0"}, {SYS_move_pages, "0, 0, 0, 0, 0, 0"}, {SYS_migrate_pages, "0, 0, 0, 0"}}),
      Killed(84, "unshare", SYS_unshare, absl::StrCat(CLONE_NEWUSER)),
      Killed(84, "setns", SYS_setns),
      Killed(84, "mount", SYS_mount, "b'tmpfs', b'/', b'tmpfs', 0, 0"),
      Killed(84, "umount2", SYS_umount2, "b'/', 2"),
      Killed(84, "pivot_root", SYS_pivot_root, "b'.', b'.'"),
      Killed(84, "chroot", SYS_chroot, "b'/'"),
      Killed(84, "fsopen", SYS_fsopen, "b'tmpfs', 0"),
      Killed(84, "fsconfig", SYS_fsconfig),
      Killed(84, "fsmount", SYS_fsmount),
      Killed(84, "move_mount", SYS_move_mount),
      Killed(84, "open_tree", SYS_open_tree),
      Killed(84, "mount_setattr", 442),
      Killed(85, "io_uring_setup", SYS_io_uring_setup),
      Killed(85, "io_uring_enter", SYS_io_uring_enter),
      Killed(85, "io_uring_register", SYS_io_uring_register),
      Denied(85, "OldAio", {{SYS_io_setup, "1, space"}, {SYS_io_submit, "0, 0, 0"}}),
      Killed(86, "userfaultfd", SYS_userfaultfd),
      Killed(86, "bpf", SYS_bpf),
      Killed(86, "perf_event_open", SYS_perf_event_open),
      Killed(86, "keyctl", SYS_keyctl),
      Killed(86, "add_key", SYS_add_key),
      Killed(86, "request_key", SYS_request_key),
      Killed(89, "seccomp", SYS_seccomp),
      Killed(89, "landlock_create_ruleset", 444),
      Killed(89, "landlock_add_rule", 445),
      Killed(89, "landlock_restrict_self", 446),
      Killed(94, "finit_module", SYS_finit_module),
      Killed(94, "init_module", SYS_init_module),
      Killed(94, "delete_module", SYS_delete_module),
      Killed(94, "kexec_load", SYS_kexec_load),
      Killed(94, "reboot", SYS_reboot),
      Killed(94, "swapon", SYS_swapon),
      // The call that the handler of the others ends with: nobody is left to note it.
      NativeCase(94, "KillsSwapoff", absl::StrCat("call(", SYS_swapoff, ", 0)\nreturn x + 1"),
                 {{kSandboxViolation}, "", {}, SIGSYS}),
  };
}

std::vector<HostileCase> Settings() {
  return {
      Denied(88, "RaisesLimits",
             {{SYS_setrlimit, "7, space"},
              {SYS_prlimit64, "0, 7, space, 0"},
              {SYS_prlimit64, "0, 0, space, 0"},
              {SYS_prlimit64, "0, 7, 0, space"},
              {SYS_setpriority, "0, 0, -5"},
              {SYS_sched_setattr, "0, space, 0"},
              {SYS_ioprio_set, "1, 0, 0"},
              {SYS_mlockall, "1"},
              {SYS_mlock, "space, 1"}}),
      Denied(89, "Prctl",
             {{SYS_prctl, "4, 1, 0, 0, 0"},
              {SYS_prctl, "26, 2, 0, 0, 0"},
              {SYS_prctl, "38, 1, 0, 0, 0"},
              {SYS_prctl, "22, 2, space, 0, 0"},
              {SYS_prctl, "15, b'x', 0, 0, 0"},
              {SYS_prctl, "36, 1, 0, 0, 0"},
              {SYS_prctl, "0x59616d61, -1, 0, 0, 0"}}),
      Denied(89, "Personality", {{SYS_personality, "0xffffffff"}, {SYS_personality, "0x400000"}}),
      Denied(89, "Identity",
             {{SYS_setuid, "0"},
              {SYS_setgid, "0"},
              {SYS_setresuid, "0, 0, 0"},
              {SYS_setgroups, "0, 0"},
              {SYS_setfsuid, "0"},
              {SYS_umask, "0"},
              {SYS_capset, "space, space"},
              {SYS_capget, "space, space"}}),
      Denied(90, "Ioctls",
             {{SYS_ioctl, "0, 0x5412, b'x'"},
              {SYS_ioctl, "1, 0x540e, 1"},
              {SYS_ioctl, "1, 0x541b, space"},
              {SYS_ioctl, "0, 1 << 32 | 0x5412, b'x'"},
              {SYS_vhangup}}),
  };
}

std::vector<HostileCase> OtherCode() {
  return {
      Denied(
          91, "ExecutableMemory",
          {{SYS_mmap, absl::StrCat("0, 4096, ", PROT_READ | PROT_WRITE | PROT_EXEC, ", ", MAP_PRIVATE | MAP_ANONYMOUS,
                                   ", -1, 0")},
           {SYS_mmap, absl::StrCat("0, 4096, ", PROT_EXEC, ", ", MAP_PRIVATE | MAP_ANONYMOUS, ", -1, 0")},
           {SYS_mprotect, absl::StrCat("ctypes.addressof(space) & ~4095, 4096, ", PROT_READ | PROT_WRITE | PROT_EXEC)},
           {SYS_pkey_mprotect, absl::StrCat("ctypes.addressof(space) & ~4095, 4096, ", PROT_READ | PROT_EXEC, ", -1")},
           {SYS_personality, "0x400000"},
           {SYS_remap_file_pages, "0, 4096, 4, 0, 0"}}),
#ifdef __x86_64__
      // `int 0x80`, wherever the C library's code happens to hold these two bytes; RUNTIME_ERROR: nowhere.
      NativeCase(91, "OldSystemCall", R"(
names = ('abort', 'getpid', 'glob', 'qsort', 'wordexp')
places = sorted(ctypes.cast(getattr(libc, name), ctypes.c_void_p).value for name in names)
at = ctypes.string_at(places[0], places[-1] - places[0]).find(b'\xcd\x80')
if at < 0: raise LookupError
ctypes.CFUNCTYPE(ctypes.c_long)(places[0] + at)()
return x + 1)",
                 {{kSandboxViolation, kRuntimeError}}),
      NativeCase(92, "X32Getpid", absl::StrCat("call(0x40000000 | ", SYS_getpid, ")\nreturn x + 1"),
                 {{kSandboxViolation}, "", {}, SIGSYS}),
      NativeCase(92, "X32Open", absl::StrCat("call(0x40000000 | ", SYS_openat, ", -100, b'/', 0)\nreturn x + 1"),
                 {{kSandboxViolation}, "", {}, SIGSYS}),
      NativeCase(92, "X32OwnNumber", "call(0x40000000 | 512, 0, 0, 0, 0)\nreturn x + 1",
                 {{kSandboxViolation}, "", {}, SIGSYS}),
#endif
  };
}

std::vector<HostileCase> NewCalls() {
  return {
      Denied(94, "NewWays",
             {{SYS_pidfd_open, "pid, 0"},
              {SYS_pidfd_getfd, "0, 0, 0"},
              {SYS_inotify_init1, "0"},
              {SYS_fanotify_init, "0, 0"},
              {SYS_openat2, "-100, b'/', space, 24"},
              {SYS_statx, "-100, b'/', 0, 0, space"},
              {SYS_name_to_handle_at, "-100, b'/', space, space, 0"},
              {SYS_open_by_handle_at, "0, space, 0"},
              {SYS_epoll_create1, "0"},
              {SYS_eventfd2, "0, 0"},
              {SYS_timerfd_create, "0, 0"},
              {SYS_signalfd4, "-1, space, 8, 0"},
              {SYS_tee, "0, 1, 1, 0"},
              {SYS_vmsplice, "1, space, 1, 0"},
              {SYS_timer_create, "0, 0, space"},
              {SYS_close_range, "3, 3, 0"},
              {SYS_membarrier, "0, 0, 0"}}),
      Denied(94, "Clocks",
             {{SYS_clock_settime, "0, space"},
              {SYS_settimeofday, "space, 0"},
              {SYS_clock_adjtime, "0, space"},
              {SYS_adjtimex, "space"},
              {SYS_sethostname, "b'x', 1"},
              {SYS_acct, "0"},
              {SYS_quotactl, "0, 0, 0, 0"}}),
  };
}

// What the filter lets through, whatever the arguments or some of them.
// clang-format off
constexpr int kAllowedCalls[] = {
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_close, SYS_fstat, SYS_lseek, SYS_munmap, SYS_mremap, SYS_brk,
    SYS_madvise, SYS_mmap, SYS_mprotect, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending,
    SYS_rt_sigtimedwait, SYS_rt_sigaction, SYS_sigaltstack, SYS_restart_syscall, SYS_exit, SYS_exit_group, SYS_futex,
    SYS_getrandom, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
    SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_dup, SYS_dup3,
    SYS_pipe2, SYS_ppoll, SYS_pselect6, SYS_sched_yield, SYS_sched_getaffinity, SYS_getrusage, SYS_times, SYS_rseq,
    SYS_set_robust_list, SYS_setitimer, SYS_getitimer, SYS_uname, SYS_sysinfo, SYS_clone3,
#ifdef __x86_64__
    SYS_time, SYS_getpgrp, SYS_dup2, SYS_pipe, SYS_poll, SYS_select, SYS_alarm,
    // uretprobe and uprobe: newer kernels let them pass every filter, and answer with SIGILL where no probe is.
    335, 336,
#endif
};
// What it ends a run for.
constexpr int kKilledCalls[] = {
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_bpf, SYS_io_uring_setup,
    SYS_io_uring_enter, SYS_io_uring_register, SYS_userfaultfd, SYS_add_key, SYS_request_key, SYS_keyctl,
    SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig,
    SYS_fsmount, 442, SYS_pivot_root, SYS_chroot, SYS_perf_event_open, SYS_init_module, SYS_finit_module,
    SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_seccomp, 444, 445, 446, SYS_reboot, SYS_swapon,
    SYS_swapoff,
};
// clang-format on

// Whatever is neither allowed nor an attack: a call that this kernel has and this list forgot would do something.
HostileCase DefaultDeny() {
  return NativeCase(
      94, "AllOtherCalls",
      absl::StrCat("known = {", absl::StrJoin(kAllowedCalls, ", "), ", ", absl::StrJoin(kKilledCalls, ", "), "}\n",
                   "results = [(n, call(n, 0, 0, 0, 0, 0, 0)) for n in range(600) if n not in known]\n",
                   "bad = [r for r in results if r[1] != 'EPERM']\nprint(bad)\n",
                   "return x + 1 if not bad and len(results) > 400 else 'did it'"));
}

}  // namespace

std::vector<HostileCase> AttackCases() {
  std::vector<HostileCase> cases = Joined({Attacks(), Settings(), OtherCode(), NewCalls(), {DefaultDeny()}});
  for (HostileCase& row : cases) row.how.plain_build = row.line == 91;
  return cases;
}

}  // namespace evilmoe
