#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// A folder that appears under its name whole or not at all: written beside its place, then renamed. What was not
// committed is removed.
class ExportFolder {
 public:
  // `target` may be missing or empty. Otherwise FailedPrecondition, unless `force` and everything in it has one of the
  // names of `replaceable`: --force must not delete what no export wrote. InvalidArgument: `target` is no folder;
  // Unavailable: the disk.
  static absl::StatusOr<ExportFolder> Create(const std::filesystem::path& target, bool force,
                                             const std::vector<std::string>& replaceable);
  ExportFolder(ExportFolder&& other) noexcept;
  ExportFolder& operator=(ExportFolder&&) = delete;
  ~ExportFolder();

  const std::filesystem::path& path() const { return temporary_; }  // to write into
  const std::filesystem::path& target() const { return target_; }   // absolute
  absl::Status Commit();

 private:
  ExportFolder(std::filesystem::path target, std::filesystem::path temporary)
      : target_(std::move(target)), temporary_(std::move(temporary)) {}

  std::filesystem::path target_;
  std::filesystem::path temporary_;  // empty: nothing to remove
};

}  // namespace evilmoe
