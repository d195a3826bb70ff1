// evilmoe-zygote: a warm interpreter that forks one confined child per run (zygote_protocol.h). It runs no untrusted
// code itself and never sees a request: the child reads it after the fork.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/isolation.h"
#include "grader_sandbox/os_confine.h"
#include "grader_sandbox/os_fd.h"
#include "grader_sandbox/os_namespaces.h"
#include "grader_sandbox/os_process.h"
#include "grader_sandbox/os_scratch.h"
#include "grader_sandbox/python_runner.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

constexpr int kSocket = 3;
constexpr int kMaxTasks = 24;  // of a run

absl::StatusOr<std::string> ReadAll(int fd) {
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = read(fd, buffer, sizeof buffer);
    if (count == 0) return bytes;
    if (count < 0 && errno != EINTR) return ErrnoStatus("read request", errno);
    if (count > 0) bytes.append(buffer, static_cast<size_t>(count));
  }
}

// What every run is forked from.
struct Nest {
  Isolation isolation;
  PythonRunner runner;
  SyscallFilter strict;
  SyscallFilter scratch;
  ViolationNote violation;
  UniqueFd discard;  // /dev/null, for writing
};

// One run's descriptors, as they came with the message.
struct Hatch {
  FdMessage message;
  UniqueFd scratch;  // none: the run uses no files
  int request() const { return message.fds[0].get(); }
  int results() const { return message.fds[1].get(); }
  int output() const { return message.fds[2].get(); }
};

// How many tasks the run's user may have: the zygotes of the slot count as well. 0: the user is not the slot's own.
int TaskLimit(const Isolation& isolation) {
  if (isolation.has_namespaces()) return kMaxTasks + 1;
  return isolation.uid != 0 ? kMaxTasks + 2 : 0;
}

absl::Status ConfineRun(const Nest& nest, const Hatch& hatch, const RunRequest& request, pid_t parent) {
  if (hatch.scratch) {
    if (fchdir(hatch.scratch.get()) != 0) return ErrnoStatus("fchdir", errno);
    EVILMOE_ASSIGN_OR_RETURN(const bool denied, DenyFiles(/*but_folder=*/hatch.scratch.get()));
    if (!denied && !nest.isolation.has_namespaces()) return absl::FailedPreconditionError("files without Landlock");
  } else {
    EVILMOE_RETURN_IF_ERROR(DenyFiles().status());
  }
  // Standard input has been /dev/null since the zygote began.
  EVILMOE_RETURN_IF_ERROR(PlaceDescriptors({.input = STDIN_FILENO,
                                            .output = hatch.output(),
                                            .error = request.discard_stderr ? nest.discard.get() : hatch.output(),
                                            .results = hatch.results()}));
  EVILMOE_RETURN_IF_ERROR(DropCapabilities());
  return Confine({.cpu_s = request.cpu_limit_s,
                  .address_space_bytes = request.address_space_bytes,
                  .file_bytes = hatch.scratch ? kScratchBytes : 0,
                  .num_tasks = TaskLimit(nest.isolation),
                  .parent = nest.isolation.has_namespaces() ? 0 : parent});
}

absl::Status RunChild(const Nest& nest, const Hatch& hatch, pid_t parent) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadAll(hatch.request()));
  EVILMOE_ASSIGN_OR_RETURN(const RunRequest request, DecodeRunRequest(bytes));
  const SyscallFilter& filter = hatch.scratch ? nest.scratch : nest.strict;
  EVILMOE_RETURN_IF_ERROR(ConfineRun(nest, hatch, request, parent));
  EVILMOE_RETURN_IF_ERROR(filter.Install(nest.violation));
  nest.runner.Run(request, kSocket);
  return absl::OkStatus();
}

// Waits for the end of the child, or of the grader.
absl::Status AwaitChild(pid_t pid, int pidfd, const ViolationNote& violation) {
  pollfd waits[] = {{.fd = pidfd, .events = POLLIN, .revents = 0}, {.fd = kSocket, .events = 0, .revents = 0}};
  while (waits[0].revents == 0) {
    if (poll(waits, 2, /*timeout=*/10'000) < 0 && errno != EINTR) return ErrnoStatus("poll", errno);
    if ((waits[1].revents & POLLHUP) == 0) continue;
    kill(pid, SIGKILL);
    return absl::CancelledError("the grader is gone");
  }
  EVILMOE_ASSIGN_OR_RETURN(const ProcessExit exit, ReapChild(pid));
  return SendFdMessage(kSocket, absl::StrCat("exit ", exit.signaled ? 1 : 0, " ", exit.code, " ", exit.cpu_us, " ",
                                             exit.peak_rss_bytes, " ", violation.syscall()));
}

absl::StatusOr<Hatch> AcceptFork(FdMessage message, const Isolation& isolation) {
  Hatch hatch{.message = std::move(message), .scratch = UniqueFd()};
  const bool scratch = hatch.message.bytes == kZygoteForkScratch;
  const bool own_folder = scratch && isolation.has_namespaces();
  if ((!scratch && hatch.message.bytes != kZygoteFork) || hatch.message.fds.size() != (scratch && !own_folder ? 4 : 3)) {
    return absl::InvalidArgumentError("unknown message");
  }
  if (own_folder) {
    EVILMOE_ASSIGN_OR_RETURN(hatch.scratch, MountScratchFolder());
  } else if (scratch) {
    hatch.scratch = std::move(hatch.message.fds[3]);
  }
  return hatch;
}

absl::Status AnnounceChild(const Isolation& isolation, pid_t pid, const UniqueFd& pidfd, const UniqueFd& scratch) {
  std::vector<int> fds = {pidfd.get()};
  if (scratch && isolation.has_namespaces()) fds.push_back(scratch.get());
  return SendFdMessage(kSocket, absl::StrCat("child ", pid), fds);
}

absl::Status ServeFork(const Nest& nest, FdMessage message) {
  EVILMOE_ASSIGN_OR_RETURN(Hatch hatch, AcceptFork(std::move(message), nest.isolation));
  const pid_t parent = getpid();
  nest.violation.Clear();
  const absl::StatusOr<pid_t> pid = nest.isolation.has_namespaces() ? ForkInPidNamespace() : ForkProcess();
  if (pid.ok() && *pid == 0) _exit(RunChild(nest, hatch, parent).ok() ? 0 : kZygoteSetupFailed);
  hatch.message.fds.clear();
  if (!pid.ok()) return SendFdMessage(kSocket, absl::StrCat("failed ", pid.status().message()));
  const absl::StatusOr<UniqueFd> pidfd = OpenPidfd(*pid);
  if (!pidfd.ok()) {
    KillAndReap(*pid);
    return SendFdMessage(kSocket, absl::StrCat("failed ", pidfd.status().message()));
  }
  EVILMOE_RETURN_IF_ERROR(AnnounceChild(nest.isolation, *pid, *pidfd, hatch.scratch));
  const absl::Status ended = AwaitChild(*pid, pidfd->get(), nest.violation);
  if (hatch.scratch && nest.isolation.has_namespaces()) UnmountScratchFolder();
  return ended;
}

absl::Status ServeOne(Nest& nest) {
  EVILMOE_ASSIGN_OR_RETURN(FdMessage message, ReceiveFdMessage(kSocket));
  const std::string_view hold = kZygoteHold;
  if (!message.bytes.starts_with(hold)) return ServeFork(nest, std::move(message));
  nest.runner.Hold(message.bytes.substr(hold.size()));
  return absl::OkStatus();
}

absl::Status Isolate(const Isolation& isolation) {
  if (isolation.uid != 0) EVILMOE_RETURN_IF_ERROR(BecomeUser(isolation.uid));
  if (!isolation.has_namespaces()) return DropCapabilities();
  EVILMOE_RETURN_IF_ERROR(EnterNamespaces());
  return KeepNamespaceCapability();
}

absl::StatusOr<Nest> MakeNest(std::string_view imports, const Isolation& isolation) {
  EVILMOE_ASSIGN_OR_RETURN(SyscallFilter strict, SyscallFilter::Build(SyscallProfile::kStrict));
  EVILMOE_ASSIGN_OR_RETURN(SyscallFilter scratch, SyscallFilter::Build(SyscallProfile::kScratch));
  EVILMOE_ASSIGN_OR_RETURN(const ViolationNote violation, ViolationNote::Map());
  UniqueFd discard(open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!discard) return ErrnoStatus("open /dev/null", errno);
  EVILMOE_ASSIGN_OR_RETURN(PythonRunner runner, PythonRunner::Start(/*with_numpy=*/imports == kZygoteNumpy,
                                                                    /*with_ctypes=*/imports == kZygoteCtypes));
  return Nest{isolation, std::move(runner), std::move(strict), std::move(scratch), violation, std::move(discard)};
}

absl::Status Serve(std::string_view imports, const Isolation& isolation) {
  std::optional<Nest> nest;
  if (imports != kZygoteProbe) {
    EVILMOE_ASSIGN_OR_RETURN(nest, MakeNest(imports, isolation));  // all imports are done in here
  }
  const absl::Status isolated = Isolate(isolation);
  if (!isolated.ok()) return SendFdMessage(kSocket, absl::StrCat("refused ", isolated.message()));
  EVILMOE_RETURN_IF_ERROR(SendFdMessage(kSocket, kZygoteReady));
  while (nest.has_value()) EVILMOE_RETURN_IF_ERROR(ServeOne(*nest));
  return absl::OkStatus();
}

absl::Status ServeAs(int argc, char** argv) {
  Isolation isolation;
  if (argc != 4 || !absl::SimpleAtoi(argv[3], &isolation.uid)) {
    return absl::InvalidArgumentError("usage: evilmoe-zygote IMPORTS TIER UID; it is started by a grader");
  }
  EVILMOE_ASSIGN_OR_RETURN(isolation.tier, ParseTier(argv[2]));
  return Serve(argv[1], isolation);
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  evilmoe::ReexecWithoutAslr(argv);
  const absl::Status status = evilmoe::ServeAs(argc, argv);
  // The end of the socket is how a zygote is told to go.
  if (status.ok() || absl::IsUnavailable(status) || absl::IsCancelled(status)) _exit(0);
  std::fprintf(stderr, "evilmoe-zygote: %s\n", std::string(status.message()).c_str());
  _exit(1);
}
