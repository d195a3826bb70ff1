#include "trainer/export_folder.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

absl::Status DiskError(const fs::path& path, const std::error_code& error) {
  return absl::UnavailableError(absl::StrCat(path.string(), ": ", error.message()));
}

fs::path Beside(const fs::path& target, const char* what) {
  return target.parent_path() / absl::StrCat(".", target.filename().string(), ".", what, ".", getpid());
}

// Whether the target's place may be taken.
absl::Status CheckPlace(const fs::path& target, bool force, const std::vector<std::string>& replaceable) {
  std::error_code error;
  if (!fs::exists(target, error)) return absl::OkStatus();
  if (!fs::is_directory(target, error)) {
    return absl::InvalidArgumentError(absl::StrCat("--out: ", target.string(), " is not a folder"));
  }
  for (fs::directory_iterator it(target, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!force) {
      return absl::FailedPreconditionError(
          absl::StrCat("--out: ", target.string(), " is not empty, expected a new folder, or --force"));
    }
    if (std::find(replaceable.begin(), replaceable.end(), name) == replaceable.end()) {
      return absl::FailedPreconditionError(absl::StrCat("--out: ", target.string(), " holds ", name,
                                                        ", which no export wrote; --force replaces exports alone"));
    }
  }
  if (error) return DiskError(target, error);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ExportFolder> ExportFolder::Create(const fs::path& given, bool force,
                                                  const std::vector<std::string>& replaceable) {
  std::error_code error;
  fs::path target = fs::weakly_canonical(fs::absolute(given, error), error);
  if (!target.has_filename()) target = target.parent_path();  // "out/"
  if (error) return DiskError(given, error);
  EVILMOE_RETURN_IF_ERROR(CheckPlace(target, force, replaceable));
  const fs::path temporary = Beside(target, "tmp");
  fs::remove_all(temporary, error);
  fs::create_directories(temporary, error);
  if (error) return DiskError(temporary, error);
  return ExportFolder(target, temporary);
}

ExportFolder::ExportFolder(ExportFolder&& other) noexcept
    : target_(std::move(other.target_)), temporary_(std::exchange(other.temporary_, {})) {}

ExportFolder::~ExportFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

absl::Status ExportFolder::Commit() {
  std::error_code error;
  EVILMOE_RETURN_IF_ERROR(SyncPath(temporary_));
  const fs::path old = Beside(target_, "old");
  const bool replaces = fs::exists(target_, error);
  if (replaces) fs::rename(target_, old, error);
  if (error) return DiskError(target_, error);
  fs::rename(temporary_, target_, error);
  if (error) {
    std::error_code ignored;
    if (replaces) fs::rename(old, target_, ignored);
    return DiskError(target_, error);
  }
  temporary_.clear();
  if (replaces) fs::remove_all(old, error);
  return SyncPath(target_.parent_path());
}

}  // namespace evilmoe
