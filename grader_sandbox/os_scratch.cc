#include "grader_sandbox/os_scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
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

void ForEachEntry(const UniqueFd& folder, const std::function<void(const char* name)>& visit) {
  // A description of its own: the run shares the offset of `folder`.
  const int copy = openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseFolder> entries(copy < 0 ? nullptr : fdopendir(copy));
  if (entries == nullptr) return;
  while (const dirent* entry = readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") visit(entry->d_name);
  }
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
  std::string path = std::filesystem::temp_directory_path(error) / "evilmoe-scratch-XXXXXX";
  if (error || mkdtemp(path.data()) == nullptr) {
    return absl::UnavailableError(absl::StrCat("scratch folder ", path, ": ", ErrnoStatus("mkdtemp", errno).message()));
  }
  DiskScratchFolder folder(path, UniqueFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  if (!folder.fd_ || (uid != 0 && fchown(folder.fd_.get(), uid, uid) != 0)) {
    return absl::UnavailableError(absl::StrCat("scratch folder ", path, ": cannot be prepared"));
  }
  return folder;
}

DiskScratchFolder::~DiskScratchFolder() {
  if (!fd_) return;  // moved from
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<ScratchFile> ReadScratchFiles(const UniqueFd& folder) {
  std::vector<ScratchFile> files;
  ForEachEntry(folder, [&](const char* name) {
    const UniqueFd file(openat(folder.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!file || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return;
    files.push_back({name, ReadFront(file)});
  });
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return files;
}

bool ScratchFolderIsFull(const UniqueFd& folder) {
  int64_t num_bytes = 0;
  int num_files = 1;
  ForEachEntry(folder, [&](const char* name) {
    struct stat info {};
    ++num_files;
    if (fstatat(folder.get(), name, &info, AT_SYMLINK_NOFOLLOW) == 0) num_bytes += info.st_blocks * 512;
  });
  return num_bytes > kScratchBytes || num_files > kScratchFiles;
}

}  // namespace evilmoe
