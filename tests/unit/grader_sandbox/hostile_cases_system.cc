#include <csignal>
#include <string>

#include "tests/unit/grader_sandbox/hostile_cases.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

using enum VerdictKind;

// A call of Python's that ends in PermissionError; a solution that it did not stop would be right.
HostileCase Refused(int line, const std::string& name, const std::string& call) {
  return {line, name, Method("import os, signal; " + call + "; return x + 1"), {{kRuntimeError}, "PermissionError", 0}};
}

// The same of a module that some interpreters have built in, so that it can always be imported.
HostileCase BuiltIn(int line, const std::string& name, const std::string& module, const std::string& call) {
  return {line, name, "import " + module + "\n" + Method(call + "; return x + 1"), {{kLoadError, kRuntimeError}}};
}

std::vector<HostileCase> Processes() {
  return {
      Refused(53, "StopsItself", "os.kill(os.getpid(), signal.SIGSTOP)"),
      Refused(53, "RaisesSigstop", "signal.raise_signal(signal.SIGSTOP)"),
      // Stops a process that is not the first one of its namespace; the supervisor ends it all the same.
      {53,
       "RaisesSigtstp",
       Method("import signal; signal.raise_signal(signal.SIGTSTP); return x + 1"),
       {{kPass}},
       {.in_tier = {{Tier::kC, {{kTimeout, kPass}}}}}},
      Refused(62, "Fork", "os.fork()"),
      Refused(62, "ForkPty", "os.forkpty()"),
      {63,
       "ForkBomb",
       Body(R"(
import os
failed = 0
while failed < 1000:
    try:
        os.fork()
    except PermissionError:
        failed += 1
return x + 1)"),
       {{kPass}}},
      Refused(64, "NewSession", "os.setsid()"),
      Refused(64, "NewGroup", "os.setpgid(0, 0)"),
      Refused(64, "DoubleFork", "os.fork() or os.setsid() or os.fork()"),
      Refused(65, "Spawn", "os.posix_spawn('/bin/true', ['true'], {})"),
      Refused(65, "SpawnP", "os.posix_spawnp('true', ['true'], {})"),
      Refused(65, "SpawnV", "os.spawnv(os.P_WAIT, '/bin/true', ['true'])"),
      Refused(65, "Exec", "os.execv('/bin/true', ['true'])"),
      Refused(65, "ExecDescriptor", "os.execve(1, ['true'], {})"),
      BuiltIn(65, "ForkExec", "_posixsubprocess",
              "r, w = __import__('os').pipe(); _posixsubprocess.fork_exec([b'true'], [b'/bin/true'], True, (w,), None, "
              "None, "
              "-1, -1, -1, -1, -1, -1, r, w, True, False, 0, None, None, None, -1, None, True)"),
      {65, "System", Method("import os; return x + 1 if os.system('true') != 0 else 'did it'"), {{kPass}}},
      {65, "Popen", Method("import os; os.popen('true')"), {{kRuntimeError}, "ModuleNotFoundError"}},
  };
}

std::vector<HostileCase> Signals() {
  return {
      {70,
       "ForgedBytecode",
       Method("c = (lambda: 0).__code__; c = c.replace(co_code=b'd\\xff' * 50, co_consts=()); "
              "exec(c); return x + 1"),
       {{kCrash, kRuntimeError}},
       {.plain_build = true}},
      {70,
       "RaisesSigsegv",
       Method("import signal; signal.raise_signal(signal.SIGSEGV); return x"),
       {{kWrongAnswer}},
       {.in_tier = {{Tier::kC, {{kCrash}, "", {}, SIGSEGV}}}, .plain_build = true}},
      // Process 1 of a namespace is deaf to SIGABRT: abort() then runs into an instruction that ends it.
      {71,
       "Abort",
       Method("import os; os.abort()"),
       {{kCrash}, "", {}, SIGSEGV},
       {.in_tier = {{Tier::kC, {{kCrash}, "", {}, SIGABRT}}}, .plain_build = true}},
      Refused(72, "KillsItself", "os.kill(os.getpid(), 9)"),
      Refused(72, "RaisesSigkill", "signal.raise_signal(9)"),
      Refused(72, "KillsItsParent", "os.kill(os.getppid(), 9)"),
      Refused(72, "KillsAll", "os.kill(-1, 9)"),
      Refused(72, "KillsItsGroup", "os.killpg(0, 9)"),
      Refused(72, "AsksWhetherOthersLive", "os.kill(os.getppid(), 0)"),
      Refused(72, "SignalsByPidfd", "signal.pidfd_send_signal(1, 9)"),
      Refused(72, "WaitsForOthers", "os.waitpid(-1, 0)"),
  };
}

std::vector<HostileCase> Files() {
  return {
      Refused(73, "ReadsPasswd", "open('/etc/passwd').read()"),
      Refused(73, "ListsRoot", "os.listdir('/')"),
      Refused(73, "ScansHere", "list(os.scandir('.'))"),
      Refused(73, "StatsRoot", "os.stat('/')"),
      Refused(73, "AsksForAccess", "os.access('/', 0) or os.getcwd()"),
      Refused(73, "ReadsALink", "os.readlink('/proc/self/exe')"),
      Refused(73, "ChangesFolder", "os.chdir('/')"),
      Refused(73, "ReadsItsOwnSource", "open(os.__file__)"),
      Refused(73, "OpensByDescriptor", "os.open('x', os.O_RDONLY, dir_fd=1)"),
      Refused(74, "WritesAFile", "open('/tmp/x', 'w')"),
      Refused(74, "MakesATemporaryFile", "os.open('/tmp', os.O_TMPFILE | os.O_RDWR)"),
      Refused(74, "Removes", "os.unlink('/tmp/x')"),
      Refused(74, "Renames", "os.rename('/tmp/x', '/tmp/y')"),
      Refused(74, "Truncates", "os.truncate('/etc/passwd', 0)"),
      Refused(74, "ChangesMode", "os.chmod('/tmp', 0)"),
      Refused(74, "ChangesOwner", "os.chown('/tmp', 0, 0)"),
      Refused(74, "ChangesTimes", "os.utime('/tmp')"),
      Refused(74, "ChangesModeOfItsPipe", "os.fchmod(1, 0)"),
      Refused(74, "WritesAnAttribute", "os.setxattr(1, 'user.x', b'')"),
      Refused(75, "OwnMemory", "open('/proc/self/mem', 'rb')"),
      Refused(75, "ParentsMemory", "open(f'/proc/{os.getppid()}/mem', 'rb')"),
      Refused(75, "Environments", "open('/proc/1/environ', 'rb')"),
      Refused(75, "ParentsDescriptors", "os.open(f'/proc/{os.getppid()}/fd/3', os.O_RDWR)"),
      Refused(75, "OwnDescriptors", "os.listdir('/proc/self/fd')"),
      Refused(75, "KernelMemory", "open('/proc/kcore', 'rb')"),
      Refused(75, "OomScore", "open('/proc/self/oom_score_adj', 'w')"),
      {75,
       "Environment",
       Method("import os; return x + 1 if set(os.environ) == {'LC_ALL', 'OPENBLAS_NUM_THREADS'} else 0"),
       {{kPass}}},
      Refused(76, "SharedMemoryFile", "os.open('/dev/shm/x', os.O_CREAT | os.O_RDWR)"),
      {76, "SharedMemoryModule", "from multiprocessing import shared_memory", {{kLoadError}, "ModuleNotFoundError"}},
      {76, "SharedMemoryOfC", "import _posixshmem", {{kLoadError}, "ModuleNotFoundError"}},
      Refused(77, "Symlink", "os.symlink('/', '/tmp/y')"),
      Refused(77, "Hardlink", "os.link('/etc/passwd', '/tmp/y')"),
      Refused(77, "Fifo", "os.mkfifo('/tmp/y')"),
      Refused(77, "Device", "os.mknod('/tmp/y', 0o60666, os.makedev(8, 0))"),
      Refused(77, "Folder", "os.mkdir('y')"),
      Refused(77, "Upwards", "open('../../../../etc/passwd')"),
      Refused(78, "TruncatesItsPipe", "os.truncate(1, 1 << 40)"),
      Refused(78, "Allocates", "os.posix_fallocate(1, 0, 1 << 30)"),
      Refused(87, "MemoryFile", "os.memfd_create('x')"),
      Refused(95, "Lock", "os.lockf(1, os.F_TLOCK, 1)"),
      BuiltIn(95, "LockOfADescriptor", "fcntl", "fcntl.flock(1, fcntl.LOCK_EX)"),
      BuiltIn(95, "LockOfARecord", "fcntl", "fcntl.lockf(1, fcntl.LOCK_EX)"),
  };
}

std::vector<HostileCase> Settings() {
  return {
      Refused(80, "SendsAFile", "os.sendfile(1, 0, 0, 1)"),
      BuiltIn(80, "UnixSocket", "_socket", "_socket.socket(_socket.AF_UNIX)"),
      BuiltIn(80, "InternetSocket", "_socket", "_socket.socket(_socket.AF_INET)"),
      BuiltIn(80, "SocketPair", "_socket", "_socket.socketpair()"),
      BuiltIn(80, "SocketOfADescriptor", "_socket", "_socket.socket(fileno=0).recv(1)"),
      BuiltIn(81, "Resolves", "_socket", "_socket.getaddrinfo('localhost', 80)"),
      BuiltIn(82, "Udp", "_socket", "_socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)"),
      {81, "NamesOfHosts", "import socket\nsocket.getaddrinfo('localhost', 80)", {{kLoadError}, "ModuleNotFoundError"}},
      {81, "Urls", "import urllib.request", {{kLoadError}, "ModuleNotFoundError"}},
      {84,
       "Chroot",
       Method("import os; os.chroot('/'); return x + 1"),
       {{kSandboxViolation}, "", {}, SIGSYS, "chroot"}},
      // The handler that counts it cannot be held off.
      {84,
       "ChrootWithBlockedSignals",
       "import os, signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n" +
           Method("os.chroot('/'); return x + 1"),
       {{kSandboxViolation}, "", {}, SIGSYS}},
      {84,
       "IgnoresViolations",
       "import signal\nsignal.signal(signal.SIGSYS, signal.SIG_IGN)\n",
       {{kLoadError}, "PermissionError"}},
      Refused(84, "FakesAViolation", "signal.raise_signal(signal.SIGSYS)"),
      BuiltIn(88, "RaisesALimit", "resource", "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))"),
      Refused(88, "Nice", "os.nice(-5)"),
      Refused(88, "Priority", "os.setpriority(os.PRIO_PROCESS, 0, -5)"),
      Refused(88, "Scheduler", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"),
      Refused(88, "Affinity", "os.sched_setaffinity(0, {0})"),
      Refused(89, "BecomesRoot", "os.setuid(0)"),
      Refused(89, "BecomesRootsGroup", "os.setgid(0)"),
      Refused(89, "Groups", "os.setgroups([0])"),
      {90,
       "Terminals",
       Method("import os; return x + 1 if not any(os.isatty(n) for n in range(4)) else 'is one'"),
       {{kPass}}},
      Refused(90, "NewTerminal", "os.openpty()"),
      BuiltIn(90, "TypesIntoATerminal", "fcntl", "fcntl.ioctl(0, 0x5412, b'x')"),
      Refused(90, "Foreground", "os.tcsetpgrp(1, os.getpid())"),
      Refused(94, "PidfdOpen", "os.pidfd_open(1)"),
      Refused(94, "Eventfd", "os.eventfd(0)"),
      Refused(94, "Splice", "os.splice(0, 1, 1)"),
      Refused(94, "CopyRange", "os.copy_file_range(0, 1, 1)"),
  };
}

}  // namespace

std::vector<HostileCase> SystemCases() { return Joined({Processes(), Signals(), Files(), Settings()}); }

}  // namespace evilmoe
