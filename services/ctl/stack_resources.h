#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"

namespace evilmoe {

// What a stack holds while it runs, each let go of by its destructor.

class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd();
  int get() const { return fd_; }

 private:
  int fd_;
};

// Takes a file's lock, which ends with the descriptor. Tries for a second, since who only looks whether it is taken
// holds it for an instant. FailedPrecondition: somebody else has it; Unavailable.
absl::StatusOr<OwnedFd> HoldLock(const std::filesystem::path& file, const Clock& clock);

// A folder below /tmp (or `parent`) that goes with everything in it.
class TemporaryFolder {
 public:
  static absl::StatusOr<TemporaryFolder> Make(const std::filesystem::path& parent = "/tmp");
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

// Starts this binary's hidden verb `stack-guard` over `sockets`, with its output in `log`; it watches the pipe whose
// write end is returned.
absl::StatusOr<OwnedFd> StartStackGuard(const std::filesystem::path& sockets, const std::filesystem::path& log);

// The hidden verb `stack-guard`: waits for the end of standard input, a pipe that the stack alone holds, then ends
// whatever is left of its process group and removes `sockets`. So a stack that was killed leaves nothing.
void RunStackGuard(const std::filesystem::path& sockets);

}  // namespace evilmoe
