#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/unit/grader_sandbox/hostile_cases.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

// Defines call(number, arguments...), which is 'did it' or the name of the errno.
std::string Native(const std::string& lines) {
  return "import ctypes, errno, os, threading\nlibc = ctypes.CDLL(None, use_errno=True)\n"
         "libc.syscall.restype = ctypes.c_long\n"
         "def call(number, *arguments):\n"
         "    ctypes.set_errno(0)\n"
         "    wide = [ctypes.c_long(a) if type(a) is int else a for a in (number, *arguments)]\n"
         "    return 'did it' if libc.syscall(*wide) != -1 else errno.errorcode[ctypes.get_errno()]\n" +
         Body(lines);
}

HostileCase NativeCase(int line, const std::string& name, const std::string& lines, Ending want = {{kPass}}) {
  return {line, name, Native(lines), std::move(want), {.native = true}};
}

struct Attempt {
  int64_t number;
  std::string arguments = "";  // Python's
};

// Right when every attempt gives `error`, and wrong when one does not.
HostileCase Denied(int line, const std::string& name, const std::vector<Attempt>& attempts,
                   const std::string& error = "EPERM") {
  const std::string tried = absl::StrJoin(attempts, ", ", [](std::string* out, const Attempt& attempt) {
    absl::StrAppend(out, "(", attempt.number, ", [", attempt.arguments, "])");
  });
  return NativeCase(line, name,
                    absl::StrCat("pid, tid = os.getpid(), threading.get_native_id()\nspace = ctypes.create_string_buffer(256)\n",
                                 "results = [(n, call(n, *a)) for n, a in [", tried, "]]\n",
                                 "print(results)\nreturn x + 1 if all(r == '", error, "' for _, r in results) else 'did it'"));
}

// Ends the run, and is named in its verdict.
HostileCase Killed(int line, const std::string& syscall, int64_t number, const std::string& arguments = "0, 0, 0, 0, 0, 0") {
  std::string name = "Kills";
  bool upper = true;
  for (const char c : syscall) {
    if (c != '_') name += upper ? static_cast<char>(std::toupper(c)) : c;
    upper = c == '_';
  }
  return NativeCase(line, name, absl::StrCat("call(", number, ", ", arguments, ")\nreturn x + 1"),
                    {{kSandboxViolation}, "", {}, SIGSYS, syscall});
}

std::vector<HostileCase> Processes() {
  const std::string thread = absl::StrCat(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD);
  return {
      // What a row of this file means by success.
      NativeCase(1, "NativeCallsWork", absl::StrCat("return x + 1 if call(", SYS_getpid, ") == call(", SYS_write,
                                                    ", 1, b'x', 1) == 'did it' and call(", SYS_close, ", 99) == 'EBADF' else 0")),
      Denied(53, "TgkillSigstop", {{SYS_tgkill, absl::StrCat("pid, tid, ", SIGSTOP)}, {SYS_tkill, absl::StrCat("tid, ", SIGSTOP)}}),
      Denied(62, "RawForks", {{SYS_clone, absl::StrCat(SIGCHLD, ", 0, 0, 0, 0")}, {SYS_clone, "0, 0, 0, 0, 0"}}),
#ifdef SYS_fork
      Denied(62, "RawFork", {{SYS_fork}}),
      Denied(65, "RawVfork", {{SYS_vfork}}),
#endif
      Denied(64, "RawSetsid", {{SYS_setsid}, {SYS_setpgid, "0, 0"}}),
      Denied(65, "RawExec", {{SYS_execve, "b'/bin/true', 0, 0"}, {SYS_execveat, "0, b'', 0, 0, 0x1000"}}),
      NativeCase(70, "NullPointer", "return ctypes.string_at(0)", {{kCrash}, "", {}, SIGSEGV}),
      NativeCase(70, "WildJump", "return ctypes.CFUNCTYPE(ctypes.c_int)(8)()", {{kCrash}, "", {}, SIGSEGV}),
      Denied(72, "RawKills",
             {{SYS_kill, "pid, 9"}, {SYS_kill, "-1, 9"}, {SYS_kill, "0, 9"}, {SYS_kill, "os.getppid(), 9"},
              {SYS_tkill, "tid, 9"}, {SYS_tgkill, "pid, tid, 9"}, {SYS_tgkill, "os.getppid(), os.getppid(), 15"},
              {SYS_tgkill, "1 << 32 | os.getppid(), os.getppid(), 15"}, {SYS_rt_sigqueueinfo, "pid, 9, space"},
              {SYS_rt_tgsigqueueinfo, "pid, tid, 9, space"}, {SYS_pidfd_send_signal, "0, 9, 0, 0"},
              {SYS_prctl, "1, 0, 0, 0, 0"}}),
      Denied(93, "Clone3", {{SYS_clone3, "space, 88"}, {SYS_clone3, "0, 0"}}, "ENOSYS"),
      Denied(93, "CloneWithNamespaces", {{SYS_clone, absl::StrCat(CLONE_NEWUSER | SIGCHLD, ", 0, 0, 0, 0")},
                                         {SYS_clone, absl::StrCat(thread, " | ", CLONE_NEWUSER, ", 0, 0, 0, 0")},
                                         {SYS_clone, absl::StrCat(thread, " | ", CLONE_NEWNET, ", 0, 0, 0, 0")},
                                         {SYS_clone, absl::StrCat(thread, " | ", CLONE_PTRACE, ", 0, 0, 0, 0")},
                                         {SYS_clone, absl::StrCat(CLONE_VM | CLONE_VFORK | SIGCHLD, ", 0, 0, 0, 0")}}),
  };
}

std::vector<HostileCase> FilesAndSockets() {
  std::string families;
  for (const int family : {1, 2, 10, 15, 16, 17, 31, 38, 40, 44}) {
    absl::StrAppend(&families, families.empty() ? "" : ", ", family);
  }
  return {
      Denied(73, "RawOpen", {{SYS_openat, "-100, b'/etc/passwd', 0"}, {SYS_openat, "-100, b'/', 0x210000"},
                             {SYS_newfstatat, "-100, b'/', space, 0"}, {SYS_faccessat, "-100, b'/', 0"},
                             {SYS_getdents64, "0, space, 256"}, {SYS_getcwd, "space, 256"}, {SYS_chdir, "b'/'"},
                             {SYS_fchdir, "0"}, {SYS_statfs, "b'/', space"}, {SYS_fstatfs, "1, space"}}),
      Denied(74, "RawCreate", {{SYS_openat, "-100, b'/tmp/x', 0x41, 0o600"}, {SYS_openat, "-100, b'.', 0x410002, 0o600"},
                               {SYS_mkdirat, "-100, b'/tmp/x', 0o700"}, {SYS_unlinkat, "-100, b'/tmp/x', 0"},
                               {SYS_renameat2, "-100, b'/tmp/x', -100, b'/tmp/y', 0"}, {SYS_ftruncate, "1, 0"},
                               {SYS_fchmodat, "-100, b'/tmp', 0"}, {SYS_fchownat, "-100, b'/tmp', 0, 0, 0"}}),
      Denied(75, "RawProc", {{SYS_openat, "-100, b'/proc/self/mem', 2"}, {SYS_openat, "-100, b'/proc/self/attr/current', 2"},
                             {SYS_readlinkat, "-100, b'/proc/self/exe', space, 256"}, {SYS_syslog, "3, space, 256"}}),
      Denied(76, "SystemV", {{SYS_shmget, "0, 4096, 0o1600"}, {SYS_shmat, "0, 0, 0"}, {SYS_shmctl, "0, 0, space"},
                             {SYS_semget, "0, 1, 0o1600"}, {SYS_semop, "0, space, 1"}, {SYS_msgget, "0, 0o1600"},
                             {SYS_msgsnd, "0, space, 1, 0"}, {SYS_msgrcv, "0, space, 1, 0, 0"}}),
      Denied(76, "PosixQueues", {{SYS_mq_open, "b'x', 0o102, 0o600, 0"}, {SYS_mq_unlink, "b'x'"}}),
      Denied(77, "RawLinks", {{SYS_symlinkat, "b'/', -100, b'/tmp/x'"}, {SYS_linkat, "-100, b'/etc/passwd', -100, b'/tmp/x', 0"},
                              {SYS_mknodat, "-100, b'/tmp/x', 0o10600, 0"}, {SYS_mknodat, "-100, b'/tmp/x', 0o60600, 0x800"}}),
      Denied(78, "RawAllocate", {{SYS_fallocate, "1, 0, 0, 1 << 30"}, {SYS_truncate, "b'/tmp/x', 1 << 40"}}),
      NativeCase(80, "Sockets",
                 absl::StrCat("results = [call(", SYS_socket, ", f, t, 0) for f in (", families, ") for t in (1, 2, 3)]\n",
                              "results += [call(", SYS_socketpair, ", 1, t, 0, ctypes.create_string_buffer(8)) for t in (1, 2, 5)]\n",
                              "print(results)\nreturn x + 1 if set(results) == {'EPERM'} else 'did it'")),
      Denied(81, "Connections", {{SYS_connect, "0, space, 16"}, {SYS_bind, "0, space, 16"}, {SYS_listen, "0, 1"},
                                 {SYS_accept4, "0, 0, 0, 0"}, {SYS_sendto, "1, b'x', 1, 0, 0, 0"}, {SYS_sendmsg, "1, space, 0"},
                                 {SYS_recvmsg, "0, space, 0"}, {SYS_recvfrom, "0, space, 1, 0, 0, 0"}, {SYS_sendmmsg, "1, space, 1, 0"},
                                 {SYS_getsockopt, "0, 1, 17, space, space"}, {SYS_getpeername, "0, space, space"},
                                 {SYS_shutdown, "0, 2"}}),
      NativeCase(81, "NamesByLibc", "found = ctypes.c_void_p()\nreturn x + 1 if libc.getaddrinfo(b'localhost', b'80', None, "
                                    "ctypes.byref(found)) != 0 else 'did it'"),
      Denied(82, "UdpAndMptcp", {{SYS_socket, "2, 2, 17"}, {SYS_socket, "10, 2, 17"}, {SYS_socket, "2, 1, 262"},
                                 {SYS_socket, "2, 0x80002, 0"}, {SYS_socket, "2, 3, 1"}}),
      Denied(87, "RawMemoryFile", {{SYS_memfd_create, "b'x', 0"}, {447, "0"}, {SYS_execveat, "1, b'', 0, 0, 0x1000"}}),
      Denied(95, "Locks", {{SYS_flock, "1, 2"}, {SYS_fcntl, absl::StrCat("1, ", F_SETLK, ", space")},
                           {SYS_fcntl, absl::StrCat("1, ", F_OFD_SETLK, ", space")}, {SYS_fcntl, absl::StrCat("1, ", F_SETOWN, ", 1")},
                           {SYS_fcntl, absl::StrCat("1, ", F_SETPIPE_SZ, ", 1 << 20")}, {SYS_fcntl, absl::StrCat("1, ", F_NOTIFY, ", 1")},
                           {SYS_fcntl, absl::StrCat("1, ", F_SETFL, ", 0o20000")}}),
  };
}

std::vector<HostileCase> Attacks() {
  return {
      Killed(83, "ptrace", SYS_ptrace),
      Killed(83, "process_vm_readv", SYS_process_vm_readv),
      Killed(83, "process_vm_writev", SYS_process_vm_writev),
      Killed(83, "process_madvise", SYS_process_madvise),
      Denied(83, "Kcmp", {{SYS_kcmp, "pid, pid, 0, 0, 0"}, {SYS_move_pages, "0, 0, 0, 0, 0, 0"}, {SYS_migrate_pages, "0, 0, 0, 0"}}),
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
      NativeCase(94, "KillsSwapoff", absl::StrCat("call(", SYS_swapoff, ", 0)\nreturn x + 1"), {{kSandboxViolation}, "", {}, SIGSYS}),
  };
}

std::vector<HostileCase> Settings() {
  return {
      Denied(88, "RaisesLimits", {{SYS_setrlimit, "7, space"}, {SYS_prlimit64, "0, 7, space, 0"}, {SYS_prlimit64, "0, 0, space, 0"},
                                  {SYS_prlimit64, "0, 7, 0, space"}, {SYS_setpriority, "0, 0, -5"}, {SYS_sched_setattr, "0, space, 0"},
                                  {SYS_ioprio_set, "1, 0, 0"}, {SYS_mlockall, "1"}, {SYS_mlock, "space, 1"}}),
      Denied(89, "Prctl", {{SYS_prctl, "4, 1, 0, 0, 0"}, {SYS_prctl, "26, 2, 0, 0, 0"}, {SYS_prctl, "38, 1, 0, 0, 0"},
                           {SYS_prctl, "22, 2, space, 0, 0"}, {SYS_prctl, "15, b'x', 0, 0, 0"}, {SYS_prctl, "36, 1, 0, 0, 0"},
                           {SYS_prctl, "0x59616d61, -1, 0, 0, 0"}}),
      Denied(89, "Personality", {{SYS_personality, "0xffffffff"}, {SYS_personality, "0x400000"}}),
      Denied(89, "Identity", {{SYS_setuid, "0"}, {SYS_setgid, "0"}, {SYS_setresuid, "0, 0, 0"}, {SYS_setgroups, "0, 0"},
                              {SYS_setfsuid, "0"}, {SYS_umask, "0"}, {SYS_capset, "space, space"}, {SYS_capget, "space, space"}}),
      Denied(90, "Ioctls", {{SYS_ioctl, "0, 0x5412, b'x'"}, {SYS_ioctl, "1, 0x540e, 1"}, {SYS_ioctl, "1, 0x541b, space"},
                            {SYS_ioctl, "0, 1 << 32 | 0x5412, b'x'"}, {SYS_vhangup}}),
      Denied(91, "ExecutableMemory",
             {{SYS_mmap, absl::StrCat("0, 4096, ", PROT_READ | PROT_WRITE | PROT_EXEC, ", ", MAP_PRIVATE | MAP_ANONYMOUS, ", -1, 0")},
              {SYS_mmap, absl::StrCat("0, 4096, ", PROT_EXEC, ", ", MAP_PRIVATE | MAP_ANONYMOUS, ", -1, 0")},
              {SYS_mprotect, absl::StrCat("ctypes.addressof(space) & ~4095, 4096, ", PROT_READ | PROT_WRITE | PROT_EXEC)},
              {SYS_pkey_mprotect, absl::StrCat("ctypes.addressof(space) & ~4095, 4096, ", PROT_READ | PROT_EXEC, ", -1")},
              {SYS_personality, "0x400000"}, {SYS_remap_file_pages, "0, 4096, 4, 0, 0"}}),
#ifdef __x86_64__
      // `int 0x80`, wherever the C library's code happens to hold these two bytes.
      NativeCase(91, "OldSystemCall", R"(
places = sorted(ctypes.cast(getattr(libc, name), ctypes.c_void_p).value for name in ('abort', 'getpid', 'glob', 'qsort', 'wordexp'))
at = ctypes.string_at(places[0], places[-1] - places[0]).find(b'\xcd\x80')
if at < 0: os.chroot('/')
ctypes.CFUNCTYPE(ctypes.c_long)(places[0] + at)()
return x + 1)", {{kSandboxViolation}, "", {}, SIGSYS}),
      NativeCase(92, "X32Getpid", absl::StrCat("call(0x40000000 | ", SYS_getpid, ")\nreturn x + 1"), {{kSandboxViolation}, "", {}, SIGSYS}),
      NativeCase(92, "X32Open", absl::StrCat("call(0x40000000 | ", SYS_openat, ", -100, b'/', 0)\nreturn x + 1"),
                 {{kSandboxViolation}, "", {}, SIGSYS}),
      NativeCase(92, "X32OwnNumber", "call(0x40000000 | 512, 0, 0, 0, 0)\nreturn x + 1", {{kSandboxViolation}, "", {}, SIGSYS}),
#endif
      Denied(94, "NewWays", {{SYS_pidfd_open, "pid, 0"}, {SYS_pidfd_getfd, "0, 0, 0"}, {SYS_inotify_init1, "0"},
                             {SYS_fanotify_init, "0, 0"}, {SYS_openat2, "-100, b'/', space, 24"}, {SYS_statx, "-100, b'/', 0, 0, space"},
                             {SYS_name_to_handle_at, "-100, b'/', space, space, 0"}, {SYS_open_by_handle_at, "0, space, 0"},
                             {SYS_epoll_create1, "0"}, {SYS_eventfd2, "0, 0"}, {SYS_timerfd_create, "0, 0"},
                             {SYS_signalfd4, "-1, space, 8, 0"}, {SYS_tee, "0, 1, 1, 0"}, {SYS_vmsplice, "1, space, 1, 0"},
                             {SYS_timer_create, "0, 0, space"}, {SYS_close_range, "3, 3, 0"}, {SYS_membarrier, "0, 0, 0"}}),
      Denied(94, "Clocks", {{SYS_clock_settime, "0, space"}, {SYS_settimeofday, "space, 0"}, {SYS_clock_adjtime, "0, space"},
                            {SYS_adjtimex, "space"}, {SYS_sethostname, "b'x', 1"}, {SYS_acct, "0"}, {SYS_quotactl, "0, 0, 0, 0"}}),
  };
}

// Whatever is neither allowed nor an attack: a call that this kernel has and this list forgot would do something.
HostileCase DefaultDeny() {
  const std::vector<int64_t> allowed = {
      SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_close, SYS_fstat, SYS_lseek, SYS_munmap, SYS_mremap, SYS_brk, SYS_madvise,
      SYS_mmap, SYS_mprotect, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_rt_sigaction,
      SYS_sigaltstack, SYS_restart_syscall, SYS_exit, SYS_exit_group, SYS_futex, SYS_getrandom, SYS_clock_gettime, SYS_clock_getres,
      SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid,
      SYS_getegid, SYS_dup, SYS_dup3, SYS_pipe2, SYS_ppoll, SYS_pselect6, SYS_sched_yield, SYS_sched_getaffinity, SYS_getrusage,
      SYS_times, SYS_rseq, SYS_set_robust_list, SYS_setitimer, SYS_getitimer, SYS_uname, SYS_sysinfo, SYS_clone3,
#ifdef __x86_64__
      SYS_time, SYS_getpgrp, SYS_dup2, SYS_pipe, SYS_poll, SYS_select, SYS_alarm,
      335, 336,  // uretprobe, uprobe: newer kernels pass them by every filter, and answer with SIGILL when no probe is there
#endif
  };
  const std::vector<int64_t> killed = {
      SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_bpf, SYS_io_uring_setup, SYS_io_uring_enter,
      SYS_io_uring_register, SYS_userfaultfd, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_unshare, SYS_setns, SYS_mount,
      SYS_umount2, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, 442, SYS_pivot_root, SYS_chroot,
      SYS_perf_event_open, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_seccomp,
      444, 445, 446, SYS_reboot, SYS_swapon, SYS_swapoff};
  return NativeCase(94, "AllOtherCalls",
                    absl::StrCat("known = {", absl::StrJoin(allowed, ", "), ", ", absl::StrJoin(killed, ", "), "}\n",
                                 "results = [(n, call(n, 0, 0, 0, 0, 0, 0)) for n in range(600) if n not in known]\n",
                                 "bad = [r for r in results if r[1] != 'EPERM']\nprint(bad)\n",
                                 "return x + 1 if not bad and len(results) > 400 else 'did it'"));
}

}  // namespace

std::vector<HostileCase> NativeCases() {
  std::vector<HostileCase> cases = Processes();
  for (const auto& more : {FilesAndSockets(), Attacks(), Settings()}) cases.insert(cases.end(), more.begin(), more.end());
  cases.push_back(DefaultDeny());
  for (HostileCase& row : cases) row.how.plain_build = row.line == 70 || row.line == 91;
  return cases;
}

}  // namespace evilmoe
