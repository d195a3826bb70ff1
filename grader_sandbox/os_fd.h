#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// Owns a file descriptor; -1 = none. Every descriptor made here is close-on-exec.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { Close(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void Close();
  int Release() { return std::exchange(fd_, -1); }  // the caller owns it

 private:
  int fd_ = -1;
};

// "what: strerror". ResourceExhausted for EMFILE, ENFILE, ENOMEM and EAGAIN, else Internal.
absl::Status ErrnoStatus(std::string_view what, int error);

// Writes a whole text to a file of the kernel (/proc, /sys) with one write(2).
absl::Status WriteKernelFile(const std::filesystem::path& path, std::string_view text);

struct FdPair {
  UniqueFd ours;    // non-blocking
  UniqueFd theirs;  // blocking
};
absl::StatusOr<FdPair> PipeFromChild();   // theirs writes, ours reads
absl::StatusOr<FdPair> StreamToChild();   // ours writes without SIGPIPE, theirs reads
absl::StatusOr<FdPair> MessageSocket();   // both ways, whole messages, both blocking

// One message of at most kMaxMessageBytes with up to four descriptors.
inline constexpr size_t kMaxMessageBytes = 4096;
struct FdMessage {
  std::string bytes;
  std::vector<UniqueFd> fds;
};
absl::Status SendFdMessage(int socket, std::string_view bytes, const std::vector<int>& fds = {});
// Unavailable when the other side is gone. Blocks unless `may_wait` is false; then DeadlineExceeded = nothing there.
absl::StatusOr<FdMessage> ReceiveFdMessage(int socket, bool may_wait = true);

}  // namespace evilmoe
