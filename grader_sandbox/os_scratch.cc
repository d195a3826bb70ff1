#include "grader_sandbox/os_scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kReadBytes = size_t{64} << 10;

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

absl::Status ForEachEntryOf(UniqueFd fd, const std::function<void(const char* name)>& visit) {
  const std::unique_ptr<DIR, CloseFolder> entries(fd ? fdopendir(fd.get()) : nullptr);
  if (entries == nullptr) return ErrnoStatus("open scratch folder", errno);
  fd.Release();
  rewinddir(entries.get());
  while (const dirent* entry = readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") visit(entry->d_name);
  }
  return absl::OkStatus();
}

absl::Status ForEachEntry(const UniqueFd& folder, const std::function<void(const char* name)>& visit) {
  // A description of its own: the run shares the offset of `folder`.
  return ForEachEntryOf(UniqueFd(openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)), visit);
}

std::string ReadFront(const UniqueFd& file) {
  std::string content(kReadBytes, '\0');
  size_t size = 0;
  while (size < content.size()) {
    const ssize_t count = read(file.get(), content.data() + size, content.size() - size);
    if (count <= 0) break;
    size += static_cast<size_t>(count);
  }
  content.resize(size);
  return content;
}

}  // namespace

absl::StatusOr<DiskScratchFolder> DiskScratchFolder::Make(uint32_t uid) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  if (error) return absl::UnavailableError(absl::StrCat("scratch folder: no place for it: ", error.message()));
  std::string path = parent / "evilmoe-scratch-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return absl::UnavailableError(absl::StrCat("scratch folder ", path, ": ", ErrnoStatus("mkdtemp", errno).message()));
  }
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    const absl::Status failed = ErrnoStatus("open", errno);
    rmdir(path.c_str());
    return absl::UnavailableError(absl::StrCat("scratch folder ", path, ": ", failed.message()));
  }
  DiskScratchFolder folder(path, std::move(fd));
  if (uid != 0 && fchown(folder.fd_.get(), uid, uid) != 0) {
    return absl::UnavailableError(absl::StrCat("scratch folder ", path, ": ", ErrnoStatus("fchown", errno).message()));
  }
  if (!folder.HasRoom()) return absl::UnavailableError(absl::StrCat("scratch folder ", path, ": the disk is full"));
  return folder;
}

DiskScratchFolder::~DiskScratchFolder() {
  if (!fd_) return;  // moved from
  // By the descriptor that is there: this has to work when there is no other. The run has ended, so the offset is ours.
  const int fd = fd_.get();
  ForEachEntryOf(std::move(fd_), [fd](const char* name) { unlinkat(fd, name, 0); }).IgnoreError();
  rmdir(path_.c_str());
}

bool DiskScratchFolder::HasRoom() const {
  struct statvfs room {};
  if (fstatvfs(fd_.get(), &room) != 0) return false;
  const bool counts_files = room.f_files != 0;  // some file systems have no fixed number of them
  return room.f_bavail * room.f_frsize >= static_cast<uint64_t>(kScratchBytes) &&
         (!counts_files || room.f_favail >= static_cast<uint64_t>(kScratchFiles));
}

absl::StatusOr<std::vector<ScratchFile>> ReadScratchFiles(const UniqueFd& folder) {
  std::vector<ScratchFile> files;
  absl::Status status;
  const absl::Status listed = ForEachEntry(folder, [&](const char* name) {
    const UniqueFd file(openat(folder.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file && absl::IsResourceExhausted(ErrnoStatus("", errno))) status = ErrnoStatus("open scratch file", errno);
    struct stat info {};
    if (!file || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    files.push_back({name, ReadFront(file)});
  });
  EVILMOE_RETURN_IF_ERROR(listed);
  EVILMOE_RETURN_IF_ERROR(status);
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

bool ScratchFolderIsFull(const UniqueFd& folder) {
  int64_t num_bytes = 0;
  int num_files = 1;
  // When it cannot be looked at now, it can be in 50 ms.
  ForEachEntry(folder, [&](const char* name) {
    struct stat info {};
    ++num_files;
    if (fstatat(folder.get(), name, &info, AT_SYMLINK_NOFOLLOW) == 0) num_bytes += info.st_blocks * 512;
  }).IgnoreError();
  return num_bytes > kScratchBytes || num_files > kScratchFiles;
}

}  // namespace evilmoe
