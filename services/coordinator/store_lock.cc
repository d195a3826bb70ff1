#include "services/coordinator/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace evilmoe {

absl::StatusOr<StoreLock> StoreLock::Take(const std::filesystem::path& database) {
  const std::string path = database.string() + ".lock";
  StoreLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return absl::UnavailableError(absl::StrCat(path, ": cannot be made: ", std::strerror(errno)));
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return absl::UnavailableError(absl::StrCat(path, ": cannot lock: ", std::strerror(errno)));
  return absl::FailedPreconditionError(
      absl::StrCat(database.string(), ": another coordinator has this database; stop it first"));
}

StoreLock::~StoreLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace evilmoe
