#include "tests/unit/trainer_ranks/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <sstream>
#include <utility>

#include "common/child_process.h"

namespace evilmoe {
namespace {

bool Readable(int fd) {
  pollfd one = {fd, POLLIN, 0};
  return poll(&one, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))) == 1;
}

}  // namespace

Child::Child(const std::vector<std::string>& arguments, const std::filesystem::path& errors) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  fd_ = ends[0];
  const ProcessSpec spec = {
      .binary = EVILMOE_RANK_PROCESS, .arguments = arguments, .output = errors, .stdin_fd = ends[1]};
  const absl::StatusOr<pid_t> pid = Spawn(spec);
  EXPECT_TRUE(pid.ok()) << pid.status();
  pid_ = pid.value_or(0);
  close(ends[1]);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), fd_(std::exchange(other.fd_, -1)), unread_(std::move(other.unread_)) {}

Child::~Child() {
  if (pid_ != 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (fd_ >= 0) close(fd_);
}

void Child::Say(const std::string& line) const {
  const std::string text = line + "\n";
  EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

std::string Child::Hear() {
  while (unread_.find('\n') == std::string::npos) {
    char buffer[4096];
    if (!Readable(fd_)) {
      ADD_FAILURE() << "no answer";
      return "";
    }
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return "";
    unread_.append(buffer, static_cast<size_t>(n));
  }
  const size_t end = unread_.find('\n');
  const std::string line = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return line;
}

void Child::Signal(int number) const { EXPECT_EQ(kill(pid_, number), 0); }

void Child::Freeze() const {
  Signal(SIGSTOP);
  int status = 0;
  EXPECT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
  EXPECT_TRUE(WIFSTOPPED(status));
}

int Child::Wait() {
  if (!AwaitEnd(pid_)) return 1000;
  int status = 0;
  EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool AwaitEnd(pid_t pid) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) return errno == ESRCH;
  const bool ended = Readable(fd);
  close(fd);
  return ended;
}

ReadyFifo::ReadyFifo(const std::filesystem::path& path) {
  EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
  fd_ = open(path.c_str(), O_RDWR | O_CLOEXEC);  // never at its end
  EXPECT_GE(fd_, 0);
}

ReadyFifo::~ReadyFifo() { close(fd_); }

std::vector<pid_t> ReadyFifo::Await(size_t count) const {
  std::string text;
  while (static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) < count && Readable(fd_)) {
    char buffer[256];
    const ssize_t n = read(fd_, buffer, sizeof buffer);
    if (n > 0) text.append(buffer, static_cast<size_t>(n));
  }
  std::map<int, pid_t> by_rank;
  std::istringstream lines(text);
  for (int rank = 0, pid = 0; lines >> rank >> pid;) by_rank[rank] = pid;
  std::vector<pid_t> pids;
  for (const auto& [rank, pid] : by_rank) pids.push_back(pid);
  EXPECT_EQ(pids.size(), count) << text;
  return pids;
}

}  // namespace evilmoe
