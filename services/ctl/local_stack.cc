#include "services/ctl/local_stack.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "services/report/report.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kLockTimeout = absl::Seconds(10);

class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status ErrnoError(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

// A folder under /tmp that is removed with everything in it.
class SocketFolder {
 public:
  static absl::StatusOr<std::filesystem::path> Make() {
    char name[] = "/tmp/evilmoe-XXXXXX";
    if (mkdtemp(name) == nullptr) return ErrnoError("/tmp/evilmoe-XXXXXX: cannot make a folder for sockets");
    return std::filesystem::path(name);
  }
  explicit SocketFolder(std::filesystem::path path) : path_(std::move(path)) {}
  ~SocketFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;

 private:
  std::filesystem::path path_;
};

// Returns the pipe's write end, which the guard watches.
absl::StatusOr<int> StartGuard(const RunDirectory& directory, const std::filesystem::path& sockets) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError("pipe");
  const OwnedFd read_end(ends[0]);
  ProcessSpec spec;
  spec.binary = "/proc/self/exe";
  spec.name = "evilmoe-ctl";
  spec.arguments = {"stack-guard", "--sockets", sockets.string()};
  spec.output = directory.Logs() / "stack.stderr";
  spec.stdin_fd = read_end.get();
  const absl::StatusOr<pid_t> pid = Spawn(spec);
  if (pid.ok()) return ends[1];
  close(ends[1]);
  return pid.status();
}

}  // namespace

int NumCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

absl::Status EnsureStack(const RunDirectory& directory, const StackShape& shape, const Clock& clock) {
  if (directory.HasStack()) return absl::OkStatus();
  for (const StackProcess& process : StackProcesses(1)) {
    EVILMOE_RETURN_IF_ERROR(SiblingBinary(process.binary).status());
  }
  ProcessSpec spec;
  spec.binary = "/proc/self/exe";
  spec.name = "evilmoe-ctl";
  spec.arguments = {"stack",
                    "--run-dir",
                    directory.path.string(),
                    "--workers",
                    absl::StrCat(shape.num_workers),
                    "--ranks",
                    absl::StrCat(shape.num_ranks),
                    "--linger",
                    absl::StrCat(absl::ToInt64Seconds(shape.linger))};
  spec.output = directory.Logs() / "stack.stderr";
  spec.new_session = true;
  std::error_code ignored;
  std::filesystem::remove(directory.StackFile(), ignored);
  EVILMOE_ASSIGN_OR_RETURN(const pid_t pid, Spawn(spec));
  const absl::Time deadline = clock.Now() + kLockTimeout;
  while (!directory.HasStack()) {
    if (const std::optional<int> status = Reap(pid)) {
      // It may have done its whole work already; only a bad end is an error.
      if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return absl::OkStatus();
      return absl::InternalError(absl::StrCat("the private stack ended at its start with ", DescribeExit(*status),
                                              "; see ", spec.output.string()));
    }
    if (clock.Now() > deadline) return absl::UnavailableError("the private stack did not start within 10 s");
    absl::SleepFor(absl::Milliseconds(5));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> AwaitEndpoint(const RunDirectory& directory, absl::Duration timeout, const Clock& clock) {
  const absl::Time deadline = clock.Now() + timeout;
  while (true) {
    const bool has_stack = directory.HasStack();
    const absl::StatusOr<std::string> text = ReadFile(directory.StackFile(), 4096);
    if (has_stack && text.ok()) {
      const nlohmann::json stack = nlohmann::json::parse(*text, nullptr, false);
      if (stack.is_object() && stack.contains("endpoint") && stack["endpoint"].is_string()) {
        return stack["endpoint"].get<std::string>();
      }
    }
    if (!has_stack || clock.Now() >= deadline) {
      return absl::UnavailableError(absl::StrCat("the private stack of ", directory.path.string(),
                                                 has_stack ? " is not ready" : " is not running", "; see ",
                                                 (directory.Logs() / "stack.log").string()));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

absl::Status RunStack(const RunDirectory& directory, const StackShape& shape, const Clock& clock,
                      StackSupervisor::Connect connect) {
  // The guard ends the whole process group, so it must be the stack's own.
  if (getpgrp() != getpid()) setpgid(0, 0);
  // Before any thread: all of them inherit the blocked signals.
  SignalWaiter signals({SIGTERM, SIGINT, SIGHUP, SIGCHLD});
  const OwnedFd lock(open(directory.StackLock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.get() < 0) return ErrnoError(directory.StackLock().string());
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(directory.path.string(), ": another stack runs on it, expected none"));
  }
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(directory.Logs() / "stack.log", "stack", clock));
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path sockets, SocketFolder::Make());
  // The folder goes before the pipe closes: that is how the guard knows that all is well.
  const absl::StatusOr<int> guard_pipe = StartGuard(directory, sockets);
  const OwnedFd guard(guard_pipe.value_or(-1));
  const SocketFolder folder(sockets);
  EVILMOE_RETURN_IF_ERROR(guard_pipe.status());
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path coordinator, SiblingBinary("evilmoe-coordinator"));
  StackOptions options;
  options.binaries = coordinator.parent_path();
  options.directory = directory;
  options.sockets = sockets;
  options.shape = shape;
  options.num_cores = NumCores();
  StackSupervisor supervisor(options, clock, logger, signals, std::move(connect));
  absl::Status status = supervisor.Run();
  // Here too, since nobody may follow the run.
  if (const absl::StatusOr<RunSummary> run = directory.ReadSummary(); run.ok() && IsFinished(*run)) {
    status.Update(WriteReport(directory.path, directory.Report()));
  }
  return status;
}

void RunStackGuard(const std::filesystem::path& sockets) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signal(number, SIG_IGN);
  char byte;
  while (true) {
    const ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n == 0 || (n < 0 && errno != EINTR)) break;
  }
  // A supervisor that ended by itself has removed the sockets last of all.
  std::error_code ignored;
  if (!std::filesystem::exists(sockets, ignored)) return;
  kill(0, SIGTERM);
  absl::SleepFor(absl::Seconds(5));
  std::filesystem::remove_all(sockets, ignored);
  kill(0, SIGKILL);
}

}  // namespace evilmoe
