#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "trainer/judge_prompt.h"

namespace evilmoe {

// Verdicts on disk by the SHA-256 of the request that got them, so that no content is judged twice, a resumed run
// repeats a step with the verdicts that it had, and runs may share a folder. Holds verdicts alone, never a failure.
// Thread-safe.
class JudgeCache {
 public:
  explicit JudgeCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  static std::string KeyOf(const std::string& request_body);
  // nullopt: none, or a file that is not whole (it counts as none).
  std::optional<JudgeVerdict> Find(const std::string& key) const;
  // Unavailable: cannot be written.
  absl::Status Keep(const std::string& key, JudgeVerdict verdict) const;

 private:
  std::filesystem::path FileOf(const std::string& key) const;
  const std::filesystem::path folder_;
};

}  // namespace evilmoe
