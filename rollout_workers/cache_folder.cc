#include "rollout_workers/cache_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

absl::Status Failure(const std::string& what) {
  const int error = errno;
  const std::string message = absl::StrCat(what, ": ", std::strerror(error));
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  return full ? absl::ResourceExhaustedError(message) : absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<std::optional<FileLock>> FileLock::Try(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Failure(path.string());
  FileLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::optional<FileLock>();
    return Failure(absl::StrCat(path.string(), ": lock"));
  }
  // DeleteOldest() may have taken the name away between the two calls: then this lock is nobody else's lock.
  struct stat ours {};
  struct stat named {};
  if (fstat(fd, &ours) != 0 || stat(path.c_str(), &named) != 0 || ours.st_ino != named.st_ino) {
    return std::optional<FileLock>();
  }
  return std::optional(std::move(lock));
}

FileLock::~FileLock() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<PartFile> PartFile::Open(const fs::path& path, int64_t max_bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Failure(path.string());
  PartFile part(fd, 0);
  struct stat status {};
  if (fstat(fd, &status) != 0) return Failure(path.string());
  part.size_ = status.st_size;
  if (part.size_ > max_bytes) EVILMOE_RETURN_IF_ERROR(part.Clear());
  return part;
}

PartFile::~PartFile() {
  if (fd_ >= 0) close(fd_);
}

absl::Status PartFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failure("write");
    size_ += n;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status PartFile::Clear() {
  if (ftruncate(fd_, 0) != 0) return Failure("truncate");
  size_ = 0;
  return absl::OkStatus();
}

void Touch(const fs::path& path) { utimensat(AT_FDCWD, path.c_str(), nullptr, 0); }  // a refusal costs its age alone

void DeleteOldest(const fs::path& folder, int keep) {
  std::map<std::string, fs::file_time_type> used;  // by hash
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string sha256 = entry.path().stem().string();
    const std::string extension = entry.path().extension().string();
    if (!IsSha256(sha256)) continue;
    if (extension != ".lock" && extension != ".safetensors" && extension != ".part") continue;
    fs::file_time_type& last = used.emplace(sha256, fs::file_time_type::min()).first->second;
    if (extension != ".lock") last = std::max(last, entry.last_write_time(ignored));  // a lock alone brought nothing
  }
  std::vector<std::pair<fs::file_time_type, std::string>> newest_first;
  for (const auto& [sha256, time] : used) newest_first.emplace_back(time, sha256);
  std::ranges::sort(newest_first, std::greater());
  for (size_t i = static_cast<size_t>(keep); i < newest_first.size(); ++i) {
    const CachedFiles files(folder, newest_first[i].second);
    const absl::StatusOr<std::optional<FileLock>> lock = FileLock::Try(files.lock);
    if (!lock.ok() || !lock->has_value()) continue;
    for (const fs::path& path : {files.whole, files.part, files.lock}) fs::remove(path, ignored);
  }
}

}  // namespace evilmoe
