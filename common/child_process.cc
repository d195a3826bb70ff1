#include "common/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

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
  if (!spec.output.empty()) {
    posix_spawn_file_actions_addopen(&settings.files, STDOUT_FILENO, spec.output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0644);
    posix_spawn_file_actions_adddup2(&settings.files, STDOUT_FILENO, STDERR_FILENO);
  }
  if (!spec.errors.empty()) {
    posix_spawn_file_actions_addopen(&settings.files, STDERR_FILENO, spec.errors.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0644);
  }
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

}  // namespace evilmoe
