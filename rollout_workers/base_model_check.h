#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"

namespace evilmoe {

// Whether this host has the base model that a run is trained over: the worker's samples would else come from another
// policy than the trainer's, and nothing further down could tell. A folder is hashed once in a process's life, so its
// weights must not change meanwhile. Thread-safe.
class BaseModelCheck {
 public:
  using Fingerprint = std::function<absl::StatusOr<std::string>(const std::filesystem::path& folder)>;
  // `fingerprint`: WeightsFingerprint, save in tests.
  explicit BaseModelCheck(Fingerprint fingerprint) : fingerprint_(std::move(fingerprint)) {}

  // `expected`: of the run's weights; empty: not known, and nothing is read. FailedPrecondition: the folder's are
  // others, or it has none that can be read as weights; names folder, got, expected. Unavailable: it cannot be read
  // now.
  absl::Status Check(const std::string& run_id, const std::filesystem::path& folder, const std::string& expected);
  // Says that the run does not fit for a reason found later; Check() answers so from now on.
  absl::Status Refuse(const std::string& run_id, const std::string& expected, const std::string& why);

 private:
  absl::StatusOr<std::string> Of(const std::filesystem::path& folder);

  const Fingerprint fingerprint_;
  Mutex mu_;
  std::map<std::string, std::string> by_folder_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> refused_ ABSL_GUARDED_BY(mu_);  // run and what it expects: why
};

}  // namespace evilmoe
