#pragma once

#include <atomic>
#include <deque>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/mutex.h"

namespace evilmoe {

// Stands between clients and a server on Unix sockets, passes bytes on, and makes the connections as bad as it is told.
// Thread-safe.
class BreakingProxy {
 public:
  // Listens at `socket` (at most 107 bytes), which it makes. The server at `server` need not be there yet: who comes
  // while it is not there is cut off.
  BreakingProxy(std::filesystem::path socket, std::filesystem::path server);
  ~BreakingProxy();
  BreakingProxy(const BreakingProxy&) = delete;
  BreakingProxy& operator=(const BreakingProxy&) = delete;

  // Closes every connection, whatever is on its way.
  void Cut();
  // While true, every new connection is closed at once.
  void Refuse(bool refuse) { refuse_ = refuse; }
  // From now on, bytes come so much later, in both directions and in their order. 0 = at once.
  void Delay(absl::Duration delay) { delay_ms_ = absl::ToInt64Milliseconds(delay); }
  int64_t num_cut() const { return num_cut_; }

 private:
  // One direction of a connection.
  struct Flow {
    int from = -1, to = -1;
    std::deque<std::pair<absl::Time, std::string>> waiting;  // until when, and what
    size_t waiting_bytes = 0;
    size_t sent = 0;  // of the first
  };
  struct Link {
    Flow up, down;  // to the server, to the client
  };
  void Run();
  void Accept();
  // False: the connection is at its end.
  bool Take(Flow& flow) const;
  static bool Send(Flow& flow, absl::Time now);
  // Milliseconds until the first byte is due; -1: none waits.
  int Patience(absl::Time now) const;
  bool Serve(Link& link, absl::Time now, const std::vector<short>& events) const;
  void Close(const Link& link);

  const std::filesystem::path server_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::atomic<bool> stopping_ = false, refuse_ = false, cut_ = false;
  std::atomic<int64_t> delay_ms_ = 0, num_cut_ = 0;
  std::vector<Link> links_;  // the thread's alone
  std::thread thread_;
};

}  // namespace evilmoe
