#include "services/ctl/process.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

std::vector<char*> ArgumentArray(std::vector<std::string>& words) {
  std::vector<char*> array;
  for (std::string& word : words) array.push_back(word.data());
  array.push_back(nullptr);
  return array;
}

}  // namespace

absl::StatusOr<std::filesystem::path> SiblingBinary(std::string_view name) {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::UnavailableError(absl::StrCat("/proc/self/exe: ", error.message()));
  const std::filesystem::path path = self.parent_path() / name;
  if (access(path.c_str(), X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat(path.string(),
                                            ": not found, expected it beside evilmoe-ctl; build it with ", "`ninja ",
                                            std::string(name), "`"));
  }
  return path;
}

absl::Status ExecSibling(std::string_view name, const std::vector<std::string>& arguments) {
  EVILMOE_ASSIGN_OR_RETURN(const std::filesystem::path binary, SiblingBinary(name));
  std::vector<std::string> words = {"evilmoe-ctl"};  // what its help and its messages call it
  words.insert(words.end(), arguments.begin(), arguments.end());
  execv(binary.c_str(), ArgumentArray(words).data());
  return absl::UnavailableError(absl::StrCat(binary.string(), ": cannot be started: ", std::strerror(errno)));
}

SignalWaiter::SignalWaiter(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  EVILMOE_CHECK(fd_ >= 0);
}

SignalWaiter::~SignalWaiter() { close(fd_); }

int SignalWaiter::Wait(absl::Duration timeout) {
  pollfd poll_fd = {fd_, POLLIN, 0};
  const int64_t ms = absl::ToInt64Milliseconds(timeout);
  if (poll(&poll_fd, 1, static_cast<int>(ms)) <= 0) return 0;
  signalfd_siginfo info;
  if (read(fd_, &info, sizeof info) != sizeof info) return 0;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace evilmoe
