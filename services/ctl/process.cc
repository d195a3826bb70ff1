#include "services/ctl/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
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

// Our environment with those of `defaults` whose name it lacks.
std::vector<std::string> WithDefaults(const std::vector<std::string>& defaults) {
  std::vector<std::string> variables;
  for (const std::string& entry : defaults) {
    if (getenv(entry.substr(0, entry.find('=')).c_str()) == nullptr) variables.push_back(entry);
  }
  for (char** entry = environ; *entry != nullptr; ++entry) variables.emplace_back(*entry);
  return variables;
}

// posix_spawn's two C structs with a destructor.
struct SpawnSettings {
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

}  // namespace

absl::StatusOr<pid_t> Spawn(const ProcessSpec& spec) {
  SpawnSettings settings;
  if (spec.stdin_fd >= 0) {
    posix_spawn_file_actions_adddup2(&settings.files, spec.stdin_fd, STDIN_FILENO);
  } else {
    posix_spawn_file_actions_addopen(&settings.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  posix_spawn_file_actions_addopen(&settings.files, STDOUT_FILENO, spec.output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0644);
  posix_spawn_file_actions_adddup2(&settings.files, STDOUT_FILENO, STDERR_FILENO);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&settings.attributes, &none);
  posix_spawnattr_setsigdefault(&settings.attributes, &all);
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (spec.new_session) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(&settings.attributes, static_cast<short>(flags));

  std::vector<std::string> words = {spec.name.empty() ? spec.binary.string() : spec.name};
  words.insert(words.end(), spec.arguments.begin(), spec.arguments.end());
  std::vector<std::string> environment = WithDefaults(spec.default_environment);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, spec.binary.c_str(), &settings.files, &settings.attributes,
                                ArgumentArray(words).data(), ArgumentArray(environment).data());
  if (error == 0) return pid;
  const std::string message = absl::StrCat(spec.binary.string(), ": cannot be started: ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  return absl::UnavailableError(message);
}

std::optional<int> Reap(pid_t pid) {
  int status = 0;
  const pid_t got = waitpid(pid, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return std::nullopt;
  return status;
}

std::string DescribeExit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    return absl::StrCat("signal ", signal, " (", strsignal(signal), ")");
  }
  return absl::StrCat("exit code ", WEXITSTATUS(wait_status));
}

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
  std::vector<std::string> words = {binary.string()};
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
