// evilmoe-zygote: a warm interpreter that forks one confined child per run (zygote_protocol.h). It runs no untrusted
// code itself and never sees a request: the child reads it after the fork.

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "grader_sandbox/os_confine.h"
#include "grader_sandbox/os_fd.h"
#include "grader_sandbox/os_process.h"
#include "grader_sandbox/python_runner.h"
#include "grader_sandbox/run_request.h"
#include "grader_sandbox/zygote_protocol.h"

namespace evilmoe {
namespace {

constexpr int kSocket = 3;
constexpr int kSetupFailed = 120;  // exit status of a child that could not be confined

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
  PythonRunner runner;
  SyscallFilter filter;
  ViolationNote violation;
};

absl::Status RunChild(const Nest& nest, const FdMessage& message, pid_t parent) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ReadAll(message.fds[0].get()));
  EVILMOE_ASSIGN_OR_RETURN(const RunRequest request, DecodeRunRequest(bytes));
  // Standard input has been /dev/null since the zygote began.
  EVILMOE_RETURN_IF_ERROR(PlaceDescriptors(STDIN_FILENO, message.fds[2].get(), message.fds[1].get()));
  EVILMOE_RETURN_IF_ERROR(Confine({.cpu_s = request.cpu_limit_s,
                                   .address_space_bytes = request.address_space_bytes,
                                   .parent = parent}));
  nest.runner.AfterFork(/*in_child=*/true);
  EVILMOE_RETURN_IF_ERROR(nest.filter.Install(nest.violation));
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

absl::Status ServeOne(const Nest& nest) {
  EVILMOE_ASSIGN_OR_RETURN(FdMessage message, ReceiveFdMessage(kSocket));
  if (message.bytes != kZygoteFork || message.fds.size() != 3) return absl::InvalidArgumentError("unknown message");
  const pid_t parent = getpid();
  nest.violation.Clear();
  nest.runner.BeforeFork();
  const absl::StatusOr<pid_t> pid = ForkProcess();
  if (pid.ok() && *pid == 0) _exit(RunChild(nest, message, parent).ok() ? 0 : kSetupFailed);
  nest.runner.AfterFork(/*in_child=*/false);
  message.fds.clear();
  if (!pid.ok()) return SendFdMessage(kSocket, absl::StrCat("failed ", pid.status().message()));
  const absl::StatusOr<UniqueFd> pidfd = OpenPidfd(*pid);
  if (!pidfd.ok()) {
    KillAndReap(*pid);
    return SendFdMessage(kSocket, absl::StrCat("failed ", pidfd.status().message()));
  }
  EVILMOE_RETURN_IF_ERROR(SendFdMessage(kSocket, absl::StrCat("child ", *pid), {pidfd->get()}));
  return AwaitChild(*pid, pidfd->get(), nest.violation);
}

absl::Status Serve(std::string_view imports) {
  EVILMOE_ASSIGN_OR_RETURN(SyscallFilter filter, SyscallFilter::Build());
  EVILMOE_ASSIGN_OR_RETURN(const ViolationNote violation, ViolationNote::Map());
  EVILMOE_ASSIGN_OR_RETURN(PythonRunner runner, PythonRunner::Start(/*with_numpy=*/imports == kZygoteNumpy));
  EVILMOE_RETURN_IF_ERROR(DropCapabilities());
  EVILMOE_RETURN_IF_ERROR(DenyFiles().status());  // all imports are done; the children inherit it
  EVILMOE_RETURN_IF_ERROR(SendFdMessage(kSocket, kZygoteReady));
  const Nest nest{std::move(runner), std::move(filter), violation};
  while (true) EVILMOE_RETURN_IF_ERROR(ServeOne(nest));
}

}  // namespace
}  // namespace evilmoe

int main(int argc, char** argv) {
  evilmoe::ReexecWithoutAslr(argv);
  const absl::Status status = evilmoe::Serve(argc > 1 ? argv[1] : evilmoe::kZygoteLean);
  // The end of the socket is how a zygote is told to go.
  if (absl::IsUnavailable(status) || absl::IsCancelled(status)) _exit(0);
  std::fprintf(stderr, "evilmoe-zygote: %s\n", status.ToString().c_str());
  _exit(1);
}
