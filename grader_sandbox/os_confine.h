#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace evilmoe {

// What a run may do to the machine. Only ever tightens; nothing here needs a privilege.

// Where a process that dies of a forbidden system call leaves its number, for its parent to read: a page that both map.
// The process could write anything there, so the number is for show.
class ViolationNote {
 public:
  static absl::StatusOr<ViolationNote> Map();
  // Forgets what an earlier process wrote, whatever it was.
  void Clear() const;
  int syscall() const { return *page_; }  // -1: nothing was noted
  int* page() const { return page_; }

 private:
  explicit ViolationNote(int* page) : page_(page) {}
  int* page_;  // lives as long as the process
};

// What a run's system calls may be for.
enum class SyscallProfile { kStrict, kScratch };  // kScratch: also plain files, in the folder that it works in

// Default-deny system calls (docs/sandbox.md). Build once, install in every run. A call that only an attack makes ends
// the process by SIGSYS, and its number is noted.
class SyscallFilter {
 public:
  static absl::StatusOr<SyscallFilter> Build(SyscallProfile profile);
  // For the calling process, which may from now on signal itself alone. Needs no_new_privs.
  absl::Status Install(const ViolationNote& note) const;

 private:
  explicit SyscallFilter(std::vector<sock_filter> program) : program_(std::move(program)) {}
  std::vector<sock_filter> program_;
};

// Name of a system call of this machine; empty when there is none.
std::string SyscallName(int number);

// Nothing that a run inherits may be worth having: drops every capability, where there is one.
absl::Status DropCapabilities();

// From now on this process and its children open, make or change no file, use no TCP port and signal nobody outside of
// themselves (Landlock, as far as this kernel has it: files since 5.13, ports 6.7, signals 6.12). A second line behind
// SyscallFilter. `but_folder`: a descriptor of the one folder whose plain files they may use; -1 = none. False: the
// kernel has no Landlock, nothing changed.
absl::StatusOr<bool> DenyFiles(int but_folder = -1);

// Of the kernel; 0 = none.
int LandlockVersion();

struct ConfineOptions {
  int64_t cpu_s = 4;                   // the kernel's own limit, behind the supervisor's
  int64_t address_space_bytes = 1 << 30;
  int64_t file_bytes = 0;              // of one file; 0 = no file grows
  int num_tasks = 0;                   // processes and threads of this user (in this user namespace); 0 = no limit
  pid_t parent = 0;                    // dies with it; 0 = it is in another pid namespace and cannot be asked
};
// rlimits, not dumpable, die with the parent, no_new_privs. Aborted when the parent is gone already.
absl::Status Confine(const ConfineOptions& options);

// A run's descriptors: `input` becomes 0, `output` 1, `error` 2, `results` 3; everything else is closed.
struct RunDescriptors {
  int input;
  int output;
  int error;
  int results;
};
absl::Status PlaceDescriptors(const RunDescriptors& from);

}  // namespace evilmoe
