#include "trainer/rank_launcher.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/child_process.h"
#include "common/status_macros.h"
#include "trainer/rank_link.h"
#include "trainer/rank_store.h"

namespace evilmoe {
namespace {

// From its start to a rank's first sign of life: LibTorch is loaded from disk in it.
constexpr absl::Duration kStartLimit = absl::Minutes(2);
// What the others have once rank 0 has told them to leave.
constexpr absl::Duration kFarewell = absl::Seconds(1);

absl::Status ErrnoError(const char* what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

struct Rank {
  pid_t pid = 0;  // 0 = has ended
  int fd = -1;
  bool heard = false;
  absl::Duration silent;
};

class Launcher {
 public:
  Launcher(const RankLaunch& launch, Logger& logger)
      : launch_(launch),
        limit_(SilenceLimit(launch.collective_timeout)),
        tick_(BeatInterval(launch.collective_timeout)),
        logger_(logger) {}
  ~Launcher() {
    KillAll();
    for (Rank& rank : ranks_) {
      if (rank.pid != 0) waitpid(rank.pid, nullptr, 0);
      if (rank.fd >= 0) close(rank.fd);
    }
    if (signals_ >= 0) close(signals_);
  }
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  absl::Status Run() {
    EVILMOE_RETURN_IF_ERROR(ListenToSignals());
    EVILMOE_ASSIGN_OR_RETURN(const ServedStore store, ServeRankStore());
    for (int i = 0; i < launch_.num_ranks; ++i) EVILMOE_RETURN_IF_ERROR(Start(i, store.port));
    auto last = std::chrono::steady_clock::now();
    while (NumAlive() > 0) {
      EVILMOE_RETURN_IF_ERROR(Listen());
      const auto now = std::chrono::steady_clock::now();
      // A launcher that was itself frozen for a while has nothing to say on how long the others were.
      CountSilence(std::min(absl::FromChrono(now - last), 2 * tick_));
      last = now;
    }
    return failure_;
  }

 private:
  absl::Status ListenToSignals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals_ < 0 ? ErrnoError("signalfd") : absl::OkStatus();
  }

  absl::Status Start(int index, uint16_t port) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return ErrnoError("socketpair");
    ProcessSpec spec;
    spec.binary = launch_.binary;
    spec.arguments = launch_.arguments;
    for (const std::string& word :
         {std::string("--rank"), absl::StrCat(index), std::string("--store-port"), absl::StrCat(port)}) {
      spec.arguments.push_back(word);
    }
    spec.stdin_fd = ends[1];
    const absl::StatusOr<pid_t> pid = Spawn(spec);
    close(ends[1]);
    ranks_.push_back({.pid = pid.value_or(0), .fd = ends[0]});
    if (pid.ok()) logger_.Info("rank_started", {{"rank", index}, {"pid", *pid}});
    return Annotate(pid.status(), absl::StrCat("rank ", index));
  }

  // Waits for a tick or for whatever comes before.
  absl::Status Listen() {
    std::vector<pollfd> fds = {{signals_, POLLIN, 0}};
    for (const Rank& rank : ranks_) fds.push_back({rank.pid != 0 ? rank.fd : -1, POLLIN, 0});
    if (poll(fds.data(), fds.size(), static_cast<int>(absl::ToInt64Milliseconds(tick_) + 1)) < 0 && errno != EINTR) {
      return ErrnoError("poll");
    }
    signalfd_siginfo signal;
    if (read(signals_, &signal, sizeof signal) == sizeof signal) Stop();
    for (size_t i = 0; i < ranks_.size(); ++i) {
      if (fds[i + 1].revents != 0) Hear(static_cast<int>(i));
    }
    return absl::OkStatus();
  }

  void Hear(int index) {
    Rank& rank = ranks_[static_cast<size_t>(index)];
    char beats[256];
    const ssize_t n = recv(rank.fd, beats, sizeof beats, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) {
      rank.heard = true;
      rank.silent = absl::ZeroDuration();
      return;
    }
    int status = 0;  // only an ending process closes its end
    while (waitpid(rank.pid, &status, 0) < 0 && errno == EINTR) {
    }
    rank.pid = 0;
    Ended(index, status);
  }

  void CountSilence(absl::Duration passed) {
    for (size_t i = 0; i < ranks_.size(); ++i) {
      Rank& rank = ranks_[i];
      if (rank.pid == 0) continue;
      rank.silent += passed;
      const absl::Duration limit = rank.heard ? limit_ : kStartLimit;
      if (rank.silent <= limit) continue;
      rank.silent = absl::ZeroDuration();
      kill(rank.pid, SIGKILL);
      Fail(absl::DeadlineExceededError(
          absl::StrCat("rank ", i, ": no sign of life for ", absl::FormatDuration(limit), ", killed")));
    }
    time_left_ -= passed;
    if (time_left_ <= absl::ZeroDuration()) KillAll();
  }

  void Ended(int index, int wait_status) {
    const std::string how = DescribeExit(wait_status);
    logger_.Info("rank_ended", {{"rank", index}, {"how", how}});
    const bool well = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    if (!well) Fail(absl::UnavailableError(absl::StrCat("rank ", index, ": ended with ", how)));
    if (index == 0) time_left_ = failure_.ok() ? kFarewell : absl::ZeroDuration();
  }

  // The first failure counts; what follows is its consequence.
  void Fail(const absl::Status& why) {
    if (!failure_.ok() || stopping_) return;
    failure_ = absl::Status(why.code(), absl::StrCat(why.message(), "; all ", launch_.num_ranks,
                                                     " ranks end, the run goes on from its last checkpoint"));
    logger_.Error("rank_failed", {{"error", std::string(failure_.message())}});
    time_left_ = std::min(launch_.stop_grace, launch_.collective_timeout / 2);
    if (ranks_[0].pid != 0) kill(ranks_[0].pid, SIGTERM);
  }

  void Stop() {
    if (stopping_ || !failure_.ok()) return;
    stopping_ = true;
    logger_.Info("ranks_stopping");
    time_left_ = launch_.stop_grace + kFarewell;
    if (ranks_[0].pid != 0) kill(ranks_[0].pid, SIGTERM);
  }

  void KillAll() {
    for (const Rank& rank : ranks_) {
      if (rank.pid != 0) kill(rank.pid, SIGKILL);
    }
  }

  int NumAlive() const {
    return static_cast<int>(std::count_if(ranks_.begin(), ranks_.end(), [](const Rank& r) { return r.pid != 0; }));
  }

  const RankLaunch& launch_;
  const absl::Duration limit_;
  const absl::Duration tick_;
  Logger& logger_;
  int signals_ = -1;
  std::vector<Rank> ranks_;
  bool stopping_ = false;
  absl::Status failure_;
  absl::Duration time_left_ = absl::InfiniteDuration();  // until all are killed
};

}  // namespace

absl::Status RunRanks(const RankLaunch& launch, Logger& logger) { return Launcher(launch, logger).Run(); }

}  // namespace evilmoe
