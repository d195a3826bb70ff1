#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "proto/security/watched_file.h"

namespace evilmoe {

// The token that a client shows: the text of a file, read again when the file changes. Thread-safe.
class TokenSource {
 public:
  // NotFound, Unavailable: no such file. InvalidArgument: what it holds is no token (1 to 512 printable characters of
  // ASCII without spaces; space around them is left away). No message has the token. `clock` must outlive it.
  static absl::StatusOr<std::unique_ptr<TokenSource>> Open(const std::filesystem::path& path, const Clock& clock);

  // The newest one. While the file is gone or holds no token: the last that it held.
  std::string Token() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  TokenSource(const std::filesystem::path& path, const Clock& clock);
  // OK also when there is nothing new.
  absl::Status UpdateLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Mutex mu_;
  WatchedFile file_ ABSL_GUARDED_BY(mu_);
  std::string token_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
