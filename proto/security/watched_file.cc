#include "proto/security/watched_file.h"

#include <sys/stat.h>

#include "common/file.h"

namespace evilmoe {

std::optional<WatchedFile::Stamp> WatchedFile::Look() const {
  struct stat found {};
  if (stat(path_.c_str(), &found) != 0) return std::nullopt;
  return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
}

std::optional<absl::StatusOr<std::string>> WatchedFile::Poll() {
  const absl::Time now = clock_.Now();
  // A clock that was set back must not keep us from looking.
  if (polled_ && now >= looked_ && now - looked_ < kInterval) return std::nullopt;
  looked_ = now;
  // Before the read: bytes that come later are found by the next look.
  const std::optional<Stamp> stamp = Look();
  if (polled_ && stamp == stamp_) return std::nullopt;
  polled_ = true;
  stamp_ = stamp;
  return ReadFile(path_, max_bytes_);
}

}  // namespace evilmoe
