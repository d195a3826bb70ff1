#include "services/coordinator/run_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file_time.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr size_t kMaxPathBytes = 1024;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status Leaves(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat("path: got \"", path.substr(0, 200), "\", expected one inside the run's directory, without .."));
}

absl::Status ErrorOf(const std::string& path) {
  if (errno == ENOENT || errno == ENOTDIR) return absl::NotFoundError(absl::StrCat(path, ": the run has no such file"));
  if (errno == EXDEV || errno == ELOOP || errno == ENAMETOOLONG) return Leaves(path);
  return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
}

// Opens what the path names beneath the directory; the kernel refuses whatever leads out.
absl::StatusOr<Fd> OpenBeneath(const std::filesystem::path& directory, const std::string& path) {
  const std::filesystem::path relative = path.empty() ? "." : path;
  const bool plain = path.size() <= kMaxPathBytes && path.find('\0') == std::string::npos && !relative.is_absolute() &&
                     std::ranges::find(relative, "..") == relative.end();
  if (!plain) return Leaves(path);
  const Fd root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (root.get() < 0) return ErrorOf(directory.string());
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a pipe in the directory must not hold us up
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  Fd opened(static_cast<int>(syscall(SYS_openat2, root.get(), relative.c_str(), &how, sizeof how)));
  if (opened.get() < 0) return ErrorOf(path);
  return opened;
}

}  // namespace

absl::Status ReadFileBeneath(const std::filesystem::path& directory, const std::string& path, int64_t offset,
                             const std::function<bool(std::string_view chunk, int64_t size_bytes)>& take) {
  EVILMOE_ASSIGN_OR_RETURN(const Fd file, OpenBeneath(directory, path));
  struct stat status{};
  if (fstat(file.get(), &status) != 0) return ErrorOf(path);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("path: ", path, " is no regular file, expected one"));
  }
  const int64_t size = status.st_size;
  if (offset < 0 || offset > size) {
    return absl::InvalidArgumentError(absl::StrCat("offset: got ", offset, ", expected [0, ", size, "]"));
  }
  std::string chunk(kChunkBytes, '\0');
  for (int64_t at = offset, first = 1; first == 1 || at < size; first = 0) {  // what is written meanwhile is not ours
    const auto wanted = static_cast<size_t>(std::min<int64_t>(kChunkBytes, size - at));
    const ssize_t got = pread(file.get(), chunk.data(), wanted, at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrorOf(path);
    if (!take(std::string_view(chunk.data(), static_cast<size_t>(got)), size)) {
      return absl::CancelledError("the caller has hung up");
    }
    if (got == 0) break;  // it was cut meanwhile
    at += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FileBeneath>> ListFilesBeneath(const std::filesystem::path& directory,
                                                          const std::string& folder, size_t max_files) {
  EVILMOE_ASSIGN_OR_RETURN(const Fd opened, OpenBeneath(directory, folder));
  const std::filesystem::path root = absl::StrCat("/proc/self/fd/", opened.get());
  std::vector<FileBeneath> files;
  std::error_code error;
  std::filesystem::recursive_directory_iterator it(root / ".", error), end;
  if (error) return absl::NotFoundError(absl::StrCat(folder, ": the run has no such folder"));
  for (; !error && it != end; it.increment(error)) {
    std::error_code gone;
    if (!std::filesystem::is_regular_file(it->symlink_status(gone)) || gone) continue;
    const std::filesystem::path inside = it->path().lexically_relative(root / ".");
    const uintmax_t size = it->file_size(gone);
    const std::filesystem::file_time_type modified = gone ? std::filesystem::file_time_type() : it->last_write_time(gone);
    if (gone) continue;  // it was deleted meanwhile
    if (files.size() >= max_files) {
      return absl::ResourceExhaustedError(absl::StrCat(folder, ": more than ", max_files, " files; name a folder"));
    }
    files.push_back({.path = (std::filesystem::path(folder) / inside).lexically_normal().string(),
                     .size_bytes = static_cast<int64_t>(size),
                     .modified_unix_ns = ToUnixNanos(modified)});
  }
  std::ranges::sort(files, {}, &FileBeneath::path);
  return files;
}

}  // namespace evilmoe
