#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <tuple>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace evilmoe {

// A small file that is read again when it changes. `clock` must outlive it. Not thread-safe.
class WatchedFile {
 public:
  // Nobody looks at the file more often.
  static constexpr absl::Duration kInterval = absl::Seconds(1);

  WatchedFile(std::filesystem::path path, size_t max_bytes, const Clock& clock)
      : path_(std::move(path)), max_bytes_(max_bytes), clock_(clock) {}

  // The bytes, or why there are none (codes of ReadFile), when that is news: at the first call, and when the file is
  // another one, of another size or time of change, than when it was read last. Else nullopt.
  std::optional<absl::StatusOr<std::string>> Poll();

  const std::filesystem::path& path() const { return path_; }

 private:
  using Stamp = std::tuple<uint64_t, uint64_t, int64_t, int64_t, int64_t>;  // device, inode, bytes, seconds, ns
  std::optional<Stamp> Look() const;

  const std::filesystem::path path_;
  const size_t max_bytes_;
  const Clock& clock_;
  bool polled_ = false;
  absl::Time looked_;
  std::optional<Stamp> stamp_;  // nullopt = there was no file
};

}  // namespace evilmoe
