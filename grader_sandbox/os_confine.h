#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// What a run may do to the machine. Only ever tightens; nothing here needs a privilege.

// Default-deny system calls (docs: grader_sandbox/README.md). Build once, install in every run.
class SyscallFilter {
 public:
  static absl::StatusOr<SyscallFilter> Build();
  // For the calling process, which may from now on signal itself alone. Needs no_new_privs.
  absl::Status Install() const;

 private:
  explicit SyscallFilter(std::vector<sock_filter> program) : program_(std::move(program)) {}
  std::vector<sock_filter> program_;
};

// Nothing that a run inherits may be worth having: drops every capability, where there is one.
absl::Status DropCapabilities();

struct ConfineOptions {
  int64_t cpu_s = 4;                   // the kernel's own limit, behind the supervisor's
  int64_t address_space_bytes = 1 << 30;
  pid_t parent = 0;                    // dies with it
};
// rlimits, not dumpable, die with the parent, no_new_privs. Aborted when the parent is gone already.
absl::Status Confine(const ConfineOptions& options);

// In a fresh child: `input` (read end) becomes 0, `output` 1 and 2, `results` 3; everything else is closed.
absl::Status PlaceDescriptors(int input, int output, int results);

}  // namespace evilmoe
