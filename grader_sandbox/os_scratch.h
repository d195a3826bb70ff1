#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {

// The folder that a run of the file channel may write to: flat, since its system-call filter makes no folder.
inline constexpr int64_t kScratchBytes = int64_t{1} << 20;
inline constexpr int kScratchFiles = 64;  // the folder itself included

// A folder on disk, for machines without namespaces; emptied and removed with this object.
class DiskScratchFolder {
 public:
  // In the system's folder for temporary files, owned by `uid` unless that is 0. Unavailable: no room for what a run may
  // write, or not allowed.
  static absl::StatusOr<DiskScratchFolder> Make(uint32_t uid);
  DiskScratchFolder(DiskScratchFolder&& other) noexcept = default;
  DiskScratchFolder& operator=(DiskScratchFolder&&) = delete;
  ~DiskScratchFolder();
  const UniqueFd& fd() const { return fd_; }
  // False: the disk, not the run, may be why a file is not there.
  bool HasRoom() const;

 private:
  DiskScratchFolder(std::filesystem::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::filesystem::path path_;
  UniqueFd fd_;
};

struct ScratchFile {
  std::string name;
  std::string content;  // its first 64 KiB
};
// The regular files of a folder, sorted by name; what may not be read is left out. ResourceExhausted: there is no
// descriptor to read them by.
absl::StatusOr<std::vector<ScratchFile>> ReadScratchFiles(const UniqueFd& folder);

// True when a folder on disk holds more than a scratch folder may.
bool ScratchFolderIsFull(const UniqueFd& folder);

}  // namespace evilmoe
