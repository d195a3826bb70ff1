#include "common/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr std::string_view kTemporaryMark = ".tmp.";  // between a file's name and the number of the thread that writes

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

absl::Status ErrnoStatus(std::string_view what, const std::filesystem::path& path) {
  const int error = errno;
  const std::string message = absl::StrCat(path.string(), ": ", std::string(what), ": ", std::strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::UnavailableError(message);
}

absl::Status WriteAll(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("write", path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WriteAndSync(const std::filesystem::path& path, std::string_view bytes) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.ok()) return ErrnoStatus("create", path);
  EVILMOE_RETURN_IF_ERROR(WriteAll(fd.get(), bytes, path));
  return fsync(fd.get()) == 0 ? absl::OkStatus() : ErrnoStatus("fsync", path);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, size_t max_bytes) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open", path);
  std::string bytes;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("read", path);
    if (n == 0) return bytes;
    if (bytes.size() + static_cast<size_t>(n) > max_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(path.string(), ": larger than ", max_bytes, " bytes"));
    }
    bytes.append(buffer, static_cast<size_t>(n));
  }
}

absl::Status SyncPath(const std::filesystem::path& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open", path);
  if (fsync(fd.get()) != 0) return ErrnoStatus("fsync", path);
  return absl::OkStatus();
}

absl::Status WriteFileAtomic(const std::filesystem::path& path, std::string_view bytes) {
  // The thread's number, since two threads of a process may write the same path.
  const std::filesystem::path temporary = absl::StrCat(path.string(), std::string(kTemporaryMark), gettid());
  const absl::Status written = WriteAndSync(temporary, bytes);
  if (!written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const absl::Status failed = ErrnoStatus("rename", path);
    unlink(temporary.c_str());
    return failed;
  }
  return SyncPath(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

void RemoveUnfinishedWrites(const std::filesystem::path& folder, std::string_view prefix) {
  std::error_code ignored;
  std::vector<std::filesystem::path> unfinished;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    const size_t mark = name.rfind(kTemporaryMark);
    if (mark == std::string::npos || !name.starts_with(prefix)) continue;
    const std::string_view thread = std::string_view(name).substr(mark + kTemporaryMark.size());
    const bool number = !thread.empty() && thread.find_first_not_of("0123456789") == std::string_view::npos;
    if (number && entry.is_regular_file(ignored)) unfinished.push_back(entry.path());
  }
  for (const std::filesystem::path& path : unfinished) std::filesystem::remove(path, ignored);
}

absl::Status AppendFile(const std::filesystem::path& path, std::string_view bytes) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd.ok()) return ErrnoStatus("open", path);
  return WriteAll(fd.get(), bytes, path);
}

absl::Status AppendLine(const std::filesystem::path& path, std::string_view line) {
  return AppendFile(path, std::string(line) + "\n");
}

}  // namespace evilmoe
