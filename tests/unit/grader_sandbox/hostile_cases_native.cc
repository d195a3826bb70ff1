#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

#include <csignal>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/grader_sandbox/hostile_native.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

std::vector<HostileCase> Processes() {
  const std::string thread = absl::StrCat(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD);
  return {
      // What a row of this file means by success.
      NativeCase(1, "NativeCallsWork",
                 absl::StrCat("return x + 1 if call(", SYS_getpid, ") == call(", SYS_write,
                              ", 1, b'x', 1) == 'did it' and call(", SYS_close, ", 99) == 'EBADF' else 0")),
      Denied(53, "TgkillSigstop",
             {{SYS_tgkill, absl::StrCat("pid, tid, ", SIGSTOP)}, {SYS_tkill, absl::StrCat("tid, ", SIGSTOP)}}),
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
             {{SYS_kill, "pid, 9"},
              {SYS_kill, "-1, 9"},
              {SYS_kill, "0, 9"},
              {SYS_kill, "os.getppid(), 9"},
              {SYS_tkill, "tid, 9"},
              {SYS_tgkill, "pid, tid, 9"},
              {SYS_tgkill, "os.getppid(), os.getppid(), 15"},
              {SYS_tgkill, "1 << 32 | os.getppid(), os.getppid(), 15"},
              {SYS_rt_sigqueueinfo, "pid, 9, space"},
              {SYS_rt_tgsigqueueinfo, "pid, tid, 9, space"},
              {SYS_pidfd_send_signal, "0, 9, 0, 0"},
              {SYS_prctl, "1, 0, 0, 0, 0"}}),
      Denied(93, "Clone3", {{SYS_clone3, "space, 88"}, {SYS_clone3, "0, 0"}}, "ENOSYS"),
      Denied(93, "CloneWithNamespaces",
             {{SYS_clone, absl::StrCat(CLONE_NEWUSER | SIGCHLD, ", 0, 0, 0, 0")},
              {SYS_clone, absl::StrCat(thread, " | ", CLONE_NEWUSER, ", 0, 0, 0, 0")},
              {SYS_clone, absl::StrCat(thread, " | ", CLONE_NEWNET, ", 0, 0, 0, 0")},
              {SYS_clone, absl::StrCat(thread, " | ", CLONE_PTRACE, ", 0, 0, 0, 0")},
              {SYS_clone, absl::StrCat(CLONE_VM | CLONE_VFORK | SIGCHLD, ", 0, 0, 0, 0")}}),
  };
}

std::vector<HostileCase> Files() {
  return {
      Denied(73, "RawOpen",
             {{SYS_openat, "-100, b'/etc/passwd', 0"},
              {SYS_openat, "-100, b'/', 0x210000"},
              {SYS_newfstatat, "-100, b'/', space, 0"},
              {SYS_faccessat, "-100, b'/', 0"},
              {SYS_getdents64, "0, space, 256"},
              {SYS_getcwd, "space, 256"},
              {SYS_chdir, "b'/'"},
              {SYS_fchdir, "0"},
              {SYS_statfs, "b'/', space"},
              {SYS_fstatfs, "1, space"}}),
      Denied(74, "RawCreate",
             {{SYS_openat, "-100, b'/tmp/x', 0x41, 0o600"},
              {SYS_openat, "-100, b'.', 0x410002, 0o600"},
              {SYS_mkdirat, "-100, b'/tmp/x', 0o700"},
              {SYS_unlinkat, "-100, b'/tmp/x', 0"},
              {SYS_renameat2, "-100, b'/tmp/x', -100, b'/tmp/y', 0"},
              {SYS_ftruncate, "1, 0"},
              {SYS_fchmodat, "-100, b'/tmp', 0"},
              {SYS_fchownat, "-100, b'/tmp', 0, 0, 0"}}),
      Denied(75, "RawProc",
             {{SYS_openat, "-100, b'/proc/self/mem', 2"},
              {SYS_openat, "-100, b'/proc/self/attr/current', 2"},
              {SYS_readlinkat, "-100, b'/proc/self/exe', space, 256"},
              {SYS_syslog, "3, space, 256"}}),
      Denied(76, "SystemV",
             {{SYS_shmget, "0, 4096, 0o1600"},
              {SYS_shmat, "0, 0, 0"},
              {SYS_shmctl, "0, 0, space"},
              {SYS_semget, "0, 1, 0o1600"},
              {SYS_semop, "0, space, 1"},
              {SYS_msgget, "0, 0o1600"},
              {SYS_msgsnd, "0, space, 1, 0"},
              {SYS_msgrcv, "0, space, 1, 0, 0"}}),
      Denied(76, "PosixQueues", {{SYS_mq_open, "b'x', 0o102, 0o600, 0"}, {SYS_mq_unlink, "b'x'"}}),
      Denied(77, "RawLinks",
             {{SYS_symlinkat, "b'/', -100, b'/tmp/x'"},
              {SYS_linkat, "-100, b'/etc/passwd', -100, b'/tmp/x', 0"},
              {SYS_mknodat, "-100, b'/tmp/x', 0o10600, 0"},
              {SYS_mknodat, "-100, b'/tmp/x', 0o60600, 0x800"}}),
      Denied(78, "RawAllocate", {{SYS_fallocate, "1, 0, 0, 1 << 30"}, {SYS_truncate, "b'/tmp/x', 1 << 40"}}),
  };
}

std::vector<HostileCase> Sockets() {
  return {
      NativeCase(80, "Sockets",
                 absl::StrCat("results = [call(", SYS_socket,
                              ", f, t, 0) for f in (1, 2, 10, 15, 16, 17, 31, 38, 40, 44) for t in (1, 2, 3)]\n",
                              "results += [call(", SYS_socketpair,
                              ", 1, t, 0, ctypes.create_string_buffer(8)) for t in (1, 2, 5)]\n",
                              "print(results)\nreturn x + 1 if set(results) == {'EPERM'} else 'did it'")),
      Denied(81, "Connections",
             {{SYS_connect, "0, space, 16"},
              {SYS_bind, "0, space, 16"},
              {SYS_listen, "0, 1"},
              {SYS_accept4, "0, 0, 0, 0"},
              {SYS_sendto, "1, b'x', 1, 0, 0, 0"},
              {SYS_sendmsg, "1, space, 0"},
              {SYS_recvmsg, "0, space, 0"},
              {SYS_recvfrom, "0, space, 1, 0, 0, 0"},
              {SYS_sendmmsg, "1, space, 1, 0"},
              {SYS_getsockopt, "0, 1, 17, space, space"},
              {SYS_getpeername, "0, space, space"},
              {SYS_shutdown, "0, 2"}}),
      NativeCase(81, "NamesByLibc",
                 "found = ctypes.c_void_p()\nreturn x + 1 if libc.getaddrinfo(b'localhost', b'80', None, "
                 "ctypes.byref(found)) != 0 else 'did it'"),
      Denied(82, "UdpAndMptcp",
             {{SYS_socket, "2, 2, 17"},
              {SYS_socket, "10, 2, 17"},
              {SYS_socket, "2, 1, 262"},
              {SYS_socket, "2, 0x80002, 0"},
              {SYS_socket, "2, 3, 1"}}),
      Denied(87, "RawMemoryFile", {{SYS_memfd_create, "b'x', 0"}, {447, "0"}, {SYS_execveat, "1, b'', 0, 0, 0x1000"}}),
      Denied(95, "Locks",
             {{SYS_flock, "1, 2"},
              {SYS_fcntl, absl::StrCat("1, ", F_SETLK, ", space")},
              {SYS_fcntl, absl::StrCat("1, ", F_OFD_SETLK, ", space")},
              {SYS_fcntl, absl::StrCat("1, ", F_SETOWN, ", 1")},
              {SYS_fcntl, absl::StrCat("1, ", F_SETPIPE_SZ, ", 1 << 20")},
              {SYS_fcntl, absl::StrCat("1, ", F_NOTIFY, ", 1")},
              {SYS_fcntl, absl::StrCat("1, ", F_SETFL, ", 0o20000")}}),
  };
}

}  // namespace

std::vector<HostileCase> NativeCases() {
  std::vector<HostileCase> cases = Joined({Processes(), Files(), Sockets()});
  for (HostileCase& row : cases) row.how.plain_build = row.line == 70;
  return cases;
}

}  // namespace evilmoe
