#pragma once

#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace evilmoe {

// What ties a rank to the launcher: a socket that the rank has as its standard input. A thread of the rank writes a
// byte to it every BeatInterval(); a rank that was not heard of for SilenceLimit() counts as frozen. In the other
// direction nothing is sent: a closed socket tells that the launcher is gone.

absl::Duration SilenceLimit(absl::Duration collective_timeout);
absl::Duration BeatInterval(absl::Duration collective_timeout);

class RankLink {
 public:
  // Beats on `fd` from now on. The process does not outlive the launcher: the kernel kills it then (call this on the
  // main thread), and a beat that finds the socket closed ends it with exit code 1. FailedPrecondition: `fd` is not a
  // launcher's socket.
  static absl::StatusOr<std::unique_ptr<RankLink>> Start(int fd, absl::Duration collective_timeout);

 private:
  RankLink(int fd, absl::Duration interval);
  std::jthread beats_;
};

}  // namespace evilmoe
