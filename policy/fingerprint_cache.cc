#include "policy/fingerprint_cache.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file_time.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxFolders = 64;

// What changes when the weights do. Links are followed, as they are where a folder is a view of a cache of downloads.
std::string StampOf(const std::filesystem::path& folder) {
  std::set<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.find(".safetensors") == std::string::npos) continue;
    std::error_code gone;
    const uintmax_t size = it->file_size(gone);
    const std::filesystem::file_time_type modified = gone ? std::filesystem::file_time_type() : it->last_write_time(gone);
    files.insert(gone ? absl::StrCat(name, " gone") : absl::StrCat(name, " ", size, " ", ToUnixNanos(modified)));
  }
  return absl::StrJoin(files, "\n");
}

}  // namespace

absl::StatusOr<std::string> FingerprintCache::Of(const std::filesystem::path& folder) {
  // Before the weights are read: what changes meanwhile is seen the next time.
  std::string stamp = StampOf(folder);
  const auto known = by_folder_.find(folder.string());
  if (known != by_folder_.end() && known->second.stamp == stamp) return known->second.fingerprint;
  EVILMOE_ASSIGN_OR_RETURN(const std::string fingerprint, fingerprint_(folder));
  if (by_folder_.size() >= kMaxFolders) by_folder_.clear();
  by_folder_[folder.string()] = {std::move(stamp), fingerprint};
  return fingerprint;
}

}  // namespace evilmoe
