#include "services/ctl/stack_resources.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/child_process.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kLockPatience = absl::Seconds(1);
constexpr absl::Duration kGuardGrace = absl::Seconds(5);  // between SIGTERM and SIGKILL

absl::Status ErrnoError(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<OwnedFd> HoldLock(const std::filesystem::path& file, const Clock& clock) {
  OwnedFd lock(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.get() < 0) return ErrnoError(file.string());
  const absl::Time deadline = clock.Now() + kLockPatience;
  while (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (clock.Now() > deadline) {
      return absl::FailedPreconditionError(absl::StrCat(file.string(), ": another stack holds it, expected none"));
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  return lock;
}

absl::StatusOr<TemporaryFolder> TemporaryFolder::Make(const std::filesystem::path& parent) {
  std::string name = (parent / "evilmoe-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) return ErrnoError(name + ": cannot make a folder");
  return TemporaryFolder(name);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

absl::StatusOr<OwnedFd> StartStackGuard(const std::filesystem::path& sockets, const std::filesystem::path& log) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError("pipe");
  const OwnedFd read_end(ends[0]);
  OwnedFd write_end(ends[1]);
  ProcessSpec spec;
  spec.binary = "/proc/self/exe";
  spec.name = "evilmoe-ctl";
  spec.arguments = {"stack-guard", "--sockets", sockets.string()};
  spec.output = log;
  spec.stdin_fd = read_end.get();
  EVILMOE_RETURN_IF_ERROR(Spawn(spec).status());
  return write_end;
}

void RunStackGuard(const std::filesystem::path& sockets) {
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) signal(number, SIG_IGN);
  char byte;
  while (true) {
    const ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n == 0 || (n < 0 && errno != EINTR)) break;
  }
  // A stack that ended by itself has removed the sockets last of all.
  std::error_code ignored;
  if (!std::filesystem::exists(sockets, ignored)) return;
  kill(0, SIGTERM);
  absl::SleepFor(kGuardGrace);
  std::filesystem::remove_all(sockets, ignored);
  kill(0, SIGKILL);
}

}  // namespace evilmoe
