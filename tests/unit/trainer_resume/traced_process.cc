#include "tests/unit/trainer_resume/traced_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

// glibc's <sys/ptrace.h> and the kernel's <linux/ptrace.h> exclude each other; the struct is glibc's.
using SyscallInfo = struct __ptrace_syscall_info;

namespace evilmoe {
namespace {

constexpr int kTraceRefused = 121;  // exit code of a child that may not be traced
constexpr int kSyscallStop = SIGTRAP | 0x80;

absl::Status ErrnoError(const char* what) {
  return absl::InternalError(absl::StrCat(what, ": ", std::strerror(errno)));
}

[[noreturn]] void BecomeTraced(std::vector<char*>& arguments, int inherited) {
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kTraceRefused);
  fcntl(inherited, F_SETFD, 0);
  execv(arguments[0], arguments.data());
  _exit(127);
}

// A process that we trace, until it is gone.
class Tracee {
 public:
  explicit Tracee(pid_t pid) : pid_(pid) {}

  // Its stops at system calls get a signal number of their own, and it dies with us.
  absl::Status TellSystemCallsApart() const {
    const int64_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    return ptrace(PTRACE_SETOPTIONS, pid_, nullptr, options) == 0 ? absl::OkStatus() : ErrnoError("PTRACE_SETOPTIONS");
  }
  // Lets it run to its next stop or its end.
  absl::Status Continue(__ptrace_request how, int signal = 0) {
    if (ptrace(how, pid_, nullptr, signal) != 0) return ErrnoError("ptrace");
    return Wait();
  }
  absl::Status Wait() { return waitpid(pid_, &status_, __WALL) == pid_ ? absl::OkStatus() : ErrnoError("waitpid"); }
  bool gone() const { return WIFEXITED(status_) || WIFSIGNALED(status_); }
  int exit_code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1; }
  int stop_signal() const { return WIFSTOPPED(status_) ? WSTOPSIG(status_) : 0; }

  absl::Status Kill() {
    kill(pid_, SIGKILL);
    while (!gone()) EVILMOE_RETURN_IF_ERROR(Wait());
    return absl::OkStatus();
  }
  // Whether it is about to write some bytes.
  absl::StatusOr<bool> EntersWrite() const {
    SyscallInfo info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof info, &info) <= 0) return ErrnoError("PTRACE_GET_SYSCALL_INFO");
    return info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_write && info.entry.args[2] > 1;
  }
  // It is about to write: lets it write half of that.
  absl::Status WriteHalf() {
#ifdef __x86_64__
    user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, pid_, nullptr, &registers) != 0) return ErrnoError("PTRACE_GETREGS");
    registers.rdx /= 2;
    if (ptrace(PTRACE_SETREGS, pid_, nullptr, &registers) != 0) return ErrnoError("PTRACE_SETREGS");
#endif
    return Continue(PTRACE_SYSCALL);
  }

 private:
  const pid_t pid_;
  int status_ = 0;
};

// From the program's own SIGSTOP on: counts places and kills at the one that is asked for.
absl::StatusOr<TracedEnd> Follow(Tracee& tracee, const KillPoint& kill_point) {
  TracedEnd end;
  int signal = 0;
  while (true) {
    EVILMOE_RETURN_IF_ERROR(tracee.Continue(PTRACE_SYSCALL, signal));
    if (tracee.gone()) break;
    signal = tracee.stop_signal() == kSyscallStop ? 0 : tracee.stop_signal();
    if (signal != 0) continue;
    EVILMOE_ASSIGN_OR_RETURN(const bool writes, tracee.EntersWrite());
    const bool tear = kill_point.place == KillPoint::Place::kTornWrite && writes && end.writes == kill_point.index;
    if (tear) EVILMOE_RETURN_IF_ERROR(tracee.WriteHalf());
    if (tear || (kill_point.place == KillPoint::Place::kSystemCall && end.system_calls == kill_point.index)) {
      EVILMOE_RETURN_IF_ERROR(tracee.Kill());
      break;
    }
    ++end.system_calls;
    end.writes += writes;
  }
  end.exit_code = tracee.exit_code();
  return end;
}

absl::StatusOr<TracedEnd> Trace(Tracee& tracee, const KillPoint& kill_point) {
  EVILMOE_RETURN_IF_ERROR(tracee.Wait());
  if (tracee.exit_code() == kTraceRefused) return absl::PermissionDeniedError("ptrace(PTRACE_TRACEME) is refused");
  // Stopped where the program begins.
  EVILMOE_RETURN_IF_ERROR(tracee.TellSystemCallsApart());
  EVILMOE_RETURN_IF_ERROR(tracee.Continue(PTRACE_CONT));
  while (!tracee.gone() && tracee.stop_signal() != SIGSTOP) {
    EVILMOE_RETURN_IF_ERROR(tracee.Continue(PTRACE_CONT, tracee.stop_signal()));
  }
  if (tracee.gone()) return TracedEnd{.exit_code = tracee.exit_code()};
  return Follow(tracee, kill_point);
}

}  // namespace

absl::StatusOr<TracedEnd> RunTraced(std::vector<std::string> words, int inherited, const KillPoint& kill_point) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) BecomeTraced(arguments, inherited);
  Tracee tracee(pid);
  absl::StatusOr<TracedEnd> end = Trace(tracee, kill_point);
  if (!end.ok() && !tracee.gone()) EVILMOE_RETURN_IF_ERROR(tracee.Kill());
  return end;
}

bool CanTearWrites() {
#ifdef __x86_64__
  return true;
#else
  return false;
#endif
}

}  // namespace evilmoe
