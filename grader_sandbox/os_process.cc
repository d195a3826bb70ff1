#include "grader_sandbox/os_process.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <spawn.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {

absl::StatusOr<pid_t> SpawnWithSocket(const std::filesystem::path& binary, std::vector<std::string> arguments,
                                      int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, socket, 3);
  posix_spawn_file_actions_addclosefrom_np(&actions, 4);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);  // a Ctrl-C at the terminal is for the grader, which ends its zygotes
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::string program = binary.string();
  std::string locale = "LC_ALL=C.UTF-8";
  std::string threads = "OPENBLAS_NUM_THREADS=1";  // a process with threads cannot be forked
  std::vector<char*> argv = {program.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  char* environment[] = {locale.data(), threads.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, argv.data(), environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoStatus(absl::StrCat("start ", program), error);
  return pid;
}

bool MaySignalOtherUsers() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct held[2] = {};
  return syscall(SYS_capget, &header, held) == 0 && (held[0].effective & (1U << CAP_KILL)) != 0;
}

bool KillAndReap(pid_t pid) {
  const bool told = kill(pid, SIGKILL) == 0 || errno != EPERM;
  constexpr timespec kLook = {.tv_sec = 0, .tv_nsec = 10'000'000};
  for (int looks = 0; told || looks < 500; ++looks) {
    const pid_t reaped = waitpid(pid, nullptr, told ? 0 : WNOHANG);
    if (reaped == pid || (reaped < 0 && errno != EINTR)) return true;
    if (!told) nanosleep(&kLook, nullptr);
  }
  return false;
}

absl::StatusOr<pid_t> ForkProcess() {
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus("fork", errno);
  return pid;
}

absl::StatusOr<UniqueFd> OpenPidfd(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return ErrnoStatus("pidfd_open", errno);
  return UniqueFd(fd);
}

void KillPidfd(int pidfd) { syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0); }

absl::Duration ProcessCpuTime(pid_t pid) {
  clockid_t clock{};
  timespec used{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) return absl::ZeroDuration();
  return absl::DurationFromTimespec(used);
}

absl::StatusOr<ProcessExit> ReapChild(pid_t pid) {
  int status = 0;
  rusage usage{};
  pid_t reaped = 0;
  do reaped = wait4(pid, &status, 0, &usage);
  while (reaped < 0 && errno == EINTR);
  if (reaped < 0) return ErrnoStatus("wait4", errno);
  const auto micros = [](const timeval& time) { return int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; };
  return ProcessExit{.signaled = WIFSIGNALED(status),
                     .code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                     .cpu_us = micros(usage.ru_utime) + micros(usage.ru_stime),
                     .peak_rss_bytes = usage.ru_maxrss * 1024};
}

void ReexecWithoutAslr(char** argv) {
  const int current = personality(0xffffffff);
  if (current < 0 || (current & ADDR_NO_RANDOMIZE) != 0) return;
  if (personality(static_cast<unsigned long>(current) | ADDR_NO_RANDOMIZE) < 0) return;
  execv("/proc/self/exe", argv);
}

}  // namespace evilmoe
