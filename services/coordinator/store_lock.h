#pragma once

#include <filesystem>
#include <utility>

#include "absl/status/statusor.h"

namespace evilmoe {

// Keeps a second coordinator off a database: an exclusive lock on the file `<database>.lock`, which the kernel lets go
// of when its holder ends, however it ends. Move-only.
class StoreLock {
 public:
  // FailedPrecondition: somebody holds it. Unavailable: the file cannot be made.
  static absl::StatusOr<StoreLock> Take(const std::filesystem::path& database);
  StoreLock() = default;  // holds nothing
  ~StoreLock();
  StoreLock(StoreLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  StoreLock& operator=(StoreLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

 private:
  explicit StoreLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace evilmoe
