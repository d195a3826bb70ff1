#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "policy/weights_fingerprint.h"

namespace evilmoe {

// WeightsFingerprint() of folders that are asked for again and again: read anew only where names, sizes or times of a
// folder's *.safetensors* files are others than the last time. Not thread-safe.
class FingerprintCache {
 public:
  using Fingerprint = std::function<absl::StatusOr<std::string>(const std::filesystem::path& folder)>;
  // `fingerprint`: another one in tests.
  explicit FingerprintCache(Fingerprint fingerprint = WeightsFingerprint) : fingerprint_(std::move(fingerprint)) {}

  // Errors of WeightsFingerprint(), which are not remembered.
  absl::StatusOr<std::string> Of(const std::filesystem::path& folder);

 private:
  struct Known {
    std::string stamp;
    std::string fingerprint;
  };
  const Fingerprint fingerprint_;
  std::map<std::string, Known> by_folder_;
};

}  // namespace evilmoe
