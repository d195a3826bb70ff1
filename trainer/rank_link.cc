#include "trainer/rank_link.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <mutex>

#include "absl/status/status.h"

namespace evilmoe {
namespace {

constexpr absl::Duration kLongestSilence = absl::Seconds(20);

void Beat(int fd, absl::Duration interval, const std::stop_token& stop) {
  std::mutex mu;
  std::unique_lock lock(mu);
  std::condition_variable_any stopped;
  while (!stop.stop_requested()) {
    // A full socket is a launcher that does not read just now, which is not this rank's affair.
    if (send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && (errno == EPIPE || errno == ECONNRESET)) std::_Exit(1);
    stopped.wait_for(lock, stop, absl::ToChronoMilliseconds(interval), [] { return false; });
  }
}

}  // namespace

absl::Duration SilenceLimit(absl::Duration collective_timeout) {
  return std::min(collective_timeout / 2, kLongestSilence);
}

absl::Duration BeatInterval(absl::Duration collective_timeout) { return SilenceLimit(collective_timeout) / 10; }

absl::StatusOr<std::unique_ptr<RankLink>> RankLink::Start(int fd, absl::Duration collective_timeout) {
  int type = 0;
  socklen_t length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0) {
    return absl::FailedPreconditionError(
        "standard input is no launcher's socket; ranks are started by `ranks: N` of --config");
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  return std::unique_ptr<RankLink>(new RankLink(fd, BeatInterval(collective_timeout)));
}

RankLink::RankLink(int fd, absl::Duration interval)
    : beats_([fd, interval](const std::stop_token& stop) { Beat(fd, interval, stop); }) {}

}  // namespace evilmoe
