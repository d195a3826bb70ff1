#include "grader_sandbox/os_confine.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "common/status_macros.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {
namespace {

absl::Status Limit(decltype(RLIMIT_CPU) resource, int64_t value) {
  const rlimit limit{static_cast<rlim_t>(value), static_cast<rlim_t>(value)};
  if (setrlimit(resource, &limit) != 0) return ErrnoStatus("setrlimit", errno);
  return absl::OkStatus();
}

// AddressSanitizer reserves terabytes of address space.
constexpr bool kLimitAddressSpace =
#ifdef __SANITIZE_ADDRESS__
    false;
#else
    true;
#endif

}  // namespace

absl::Status DropCapabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) return ErrnoStatus("capset", errno);
  return absl::OkStatus();
}

absl::Status Confine(const ConfineOptions& options) {
  EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_CPU, options.cpu_s));
  if (kLimitAddressSpace) EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_AS, options.address_space_bytes));
  EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_NOFILE, 32));
  EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_FSIZE, options.file_bytes));
  if (options.num_tasks > 0) EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_NPROC, options.num_tasks));
  EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_CORE, 0));
  EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_MEMLOCK, 0));
  EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_MSGQUEUE, 0));
  EVILMOE_RETURN_IF_ERROR(Limit(RLIMIT_STACK, int64_t{64} << 20));
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return ErrnoStatus("prctl(dumpable)", errno);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return ErrnoStatus("prctl(pdeathsig)", errno);
  if (options.parent != 0 && getppid() != options.parent) return absl::AbortedError("the parent is gone");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoStatus("prctl(no_new_privs)", errno);
  return absl::OkStatus();
}

absl::Status PlaceDescriptors(const RunDescriptors& from) {
  const int moves[][2] = {{from.input, 0}, {from.output, 1}, {from.error, 2}, {from.results, 3}};
  for (const auto& [old, place] : moves) {
    if (dup2(old, place) < 0) return ErrnoStatus("dup2", errno);
  }
  if (close_range(4, ~0U, 0) != 0) return ErrnoStatus("close_range", errno);
  return absl::OkStatus();
}

}  // namespace evilmoe
