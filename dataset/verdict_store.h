#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "dataset/dropped.h"

namespace evilmoe {

// What the sandbox said of a canonical solution and its tests. Without a reason: all pass.
struct CanonicalVerdict {
  std::optional<DropReason> reason;  // kTests or kCanonical
  std::string detail;

  bool operator==(const CanonicalVerdict&) const = default;
};

// Verdicts that are known, in a JSONL file, so that a build that was cut off, or is made again with other options, does
// not run anything twice. A verdict is found by the problem's key (ProblemKey): it holds for as long as the code and
// the tests are the same. Thread-safe.
class VerdictStore {
 public:
  // Reads `path`, if there is such a file. A line that is no verdict, as a crash may leave one at the end, is dropped.
  static absl::StatusOr<std::unique_ptr<VerdictStore>> Open(std::filesystem::path path);

  std::optional<CanonicalVerdict> Find(const std::string& key) const ABSL_LOCKS_EXCLUDED(mu_);
  // In the file when this returns: a kill loses nothing that was added.
  absl::Status Add(const std::string& key, const CanonicalVerdict& verdict) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  explicit VerdictStore(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path path_;
  mutable Mutex mu_;
  std::map<std::string, CanonicalVerdict> by_key_ ABSL_GUARDED_BY(mu_);
};

}  // namespace evilmoe
