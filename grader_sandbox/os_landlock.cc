#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "common/status_macros.h"
#include "grader_sandbox/os_confine.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {
namespace {

constexpr uint32_t kAskVersion = 1;

// struct landlock_ruleset_attr of the newest kernel (Documentation/userspace-api/landlock.rst): what it handles and no
// rule allows is denied. An older kernel takes the front part.
struct Handled {
  uint64_t files;
  uint64_t ports;
  uint64_t scopes;
};

// The rights that version `abi` knows.
Handled AllOf(int abi) {
  const int num_file_rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  return {.files = (uint64_t{1} << num_file_rights) - 1,
          .ports = abi >= 4 ? uint64_t{3} : 0,
          .scopes = abi >= 6 ? uint64_t{3} : 0};
}

size_t SizeOf(int abi) { return sizeof(uint64_t) * (abi >= 6 ? 3 : abi >= 4 ? 2 : 1); }

// Reading, writing, making and removing plain files, and listing the folder (linux/landlock.h).
constexpr uint64_t kUsePlainFiles = (1 << 1) | (1 << 2) | (1 << 3) | (1 << 5) | (1 << 8);
constexpr uint64_t kTruncate = 1 << 14;

absl::Status AllowFolder(int ruleset, const Handled& handled, int folder) {
  constexpr int kPathBeneath = 1;
  struct [[gnu::packed]] Rule {
    uint64_t allowed;
    int32_t parent_fd;
  };
  const Rule rule{.allowed = (kUsePlainFiles | kTruncate) & handled.files, .parent_fd = folder};
  if (syscall(SYS_landlock_add_rule, ruleset, kPathBeneath, &rule, 0) != 0) return ErrnoStatus("landlock_add_rule", errno);
  return absl::OkStatus();
}

}  // namespace

int LandlockVersion() {
  const auto abi = static_cast<int>(syscall(SYS_landlock_create_ruleset, nullptr, 0, kAskVersion));
  return abi < 0 ? 0 : abi;
}

absl::StatusOr<bool> DenyFiles(int but_folder) {
  const int abi = LandlockVersion();
  if (abi == 0) return false;  // none, or an outer filter forbids it
  const Handled handled = AllOf(abi);
  const UniqueFd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &handled, SizeOf(abi), 0)));
  if (!ruleset) return ErrnoStatus("landlock_create_ruleset", errno);
  if (but_folder >= 0) EVILMOE_RETURN_IF_ERROR(AllowFolder(ruleset.get(), handled, but_folder));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoStatus("prctl(no_new_privs)", errno);
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return ErrnoStatus("landlock_restrict_self", errno);
  return true;
}

}  // namespace evilmoe
