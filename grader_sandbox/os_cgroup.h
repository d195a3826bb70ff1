#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {

// Control groups: what a slot's zygotes and runs may use of memory and tasks, together. Version 2 where memory and pids
// are there, else version 1, else none. (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst)

// The folders of the cgroups that this process is in; empty = that hierarchy is not mounted.
struct CgroupFolders {
  std::filesystem::path unified;    // version 2
  std::filesystem::path v1_memory;
  std::filesystem::path v1_pids;
};
// Of the texts of /proc/self/mountinfo and /proc/self/cgroup.
CgroupFolders ParseCgroupFolders(std::string_view mountinfo, std::string_view cgroup);

// The cgroup of one slot; removed with it, once all of its processes are gone. Not thread-safe.
class SlotCgroup {
 public:
  ~SlotCgroup();
  SlotCgroup(const SlotCgroup&) = delete;
  SlotCgroup& operator=(const SlotCgroup&) = delete;

  // Moves a process in; what it forks from now on is in as well. Slow (the kernel waits for all CPUs): once a zygote.
  absl::Status Add(pid_t pid) const;
  // Lets everything in here use `more_bytes` of memory more than it does now, no swap, and `num_tasks` tasks.
  absl::Status Limit(int64_t more_bytes, int num_tasks) const;
  // How many processes in here the kernel killed for want of memory, ever.
  int64_t OomKills() const;

 private:
  friend class CgroupTree;
  struct Files;
  SlotCgroup(const Files& files, std::vector<std::filesystem::path> folders)
      : files_(files), folders_(std::move(folders)) {}

  const Files& files_;  // of this version
  const std::vector<std::filesystem::path> folders_;  // memory first; one in version 2
  UniqueFd events_;  // kept open: a look that fails for want of a descriptor would change a verdict
};

// Where the cgroups of a grader's slots are made. Thread-safe once made.
class CgroupTree {
 public:
  // Looks for a hierarchy in which this process may make cgroups that limit memory. In version 2 the calling process
  // moves into a cgroup of its own beside them, since a cgroup with processes cannot have limited ones below it. Removes
  // what a grader that was killed left behind. FailedPrecondition says why there is none.
  static absl::StatusOr<std::unique_ptr<CgroupTree>> Find(const CgroupFolders& folders);
  ~CgroupTree();

  absl::StatusOr<std::unique_ptr<SlotCgroup>> MakeSlot(std::string_view name) const;
  std::string_view version() const;  // "v1", "v2"

 private:
  CgroupTree(const SlotCgroup::Files& files, std::vector<std::filesystem::path> parents)
      : files_(files), parents_(std::move(parents)) {}
  static const SlotCgroup::Files& FilesOf(int version);
  static absl::StatusOr<std::unique_ptr<CgroupTree>> FindUnified(const std::filesystem::path& parent);
  absl::Status MoveAside();

  const SlotCgroup::Files& files_;
  const std::vector<std::filesystem::path> parents_;
  std::filesystem::path own_;  // version 2: where this process moved to
};

// The folders of the calling process.
CgroupFolders OwnCgroupFolders();

// Asks the kernel to take this process first when memory runs out; no error when that is not allowed.
void OfferToOomKiller(pid_t pid);

}  // namespace evilmoe
