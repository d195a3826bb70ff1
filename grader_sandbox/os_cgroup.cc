#include "grader_sandbox/os_cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"
#include "grader_sandbox/os_fd.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "evilmoe-";  // then the grader's process id, then a name

// Empty when there is nothing to read: files of the kernel have no size, and these are short.
std::string ReadText(const UniqueFd& file) {
  std::string text(size_t{64} << 10, '\0');
  const ssize_t count = file ? pread(file.get(), text.data(), text.size(), 0) : -1;
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return text;
}

std::string ReadText(const fs::path& path) { return ReadText(UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC))); }

std::vector<std::string> Words(std::string_view text) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
}

bool HasWord(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Where the cgroup `path` of a hierarchy is seen below `mount_point`, which shows the hierarchy from `root` on.
fs::path Below(const std::string& mount_point, const std::string& root, const std::string& path) {
  const bool inside = root != "/" && (path == root || path.starts_with(root + "/"));
  const std::string rest = inside ? path.substr(root.size()) : path;
  return rest.empty() || rest == "/" ? fs::path(mount_point) : fs::path(mount_point + rest);
}

// The path of the line "ID:controllers:path" of /proc/self/cgroup that names `controller`; "" is version 2's.
std::string PathOf(std::string_view cgroup, std::string_view controller) {
  for (const std::string& line : Words(cgroup)) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (HasWord(controllers, controller)) return parts[2];
  }
  return "";
}

// Folders that nobody is in can go; one that is in use cannot, and stays.
void RemoveLeftovers(const fs::path& parent) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    const std::vector<std::string> parts = absl::StrSplit(name, '-');
    pid_t pid = 0;
    if (parts.size() < 2 || !absl::SimpleAtoi(parts[1], &pid) || pid <= 0) continue;
    if (kill(pid, 0) != 0 && errno == ESRCH) rmdir(entry.path().c_str());
  }
}

}  // namespace

struct SlotCgroup::Files {  // names of files
  const char* version;
  const char* usage;
  const char* limit;
  const char* no_swap;  // gets 0; may be missing
  const char* events;   // has the line "oom_kill N"
};

// pids.max and cgroup.procs are the same in both.
const SlotCgroup::Files& CgroupTree::FilesOf(int version) {
  static constexpr SlotCgroup::Files kFiles[] = {
      {"v1", "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.swappiness", "memory.oom_control"},
      {"v2", "memory.current", "memory.max", "memory.swap.max", "memory.events"}};
  return kFiles[version - 1];
}

CgroupFolders ParseCgroupFolders(std::string_view mountinfo, std::string_view cgroup) {
  CgroupFolders folders;
  const std::vector<std::string> lines = absl::StrSplit(absl::string_view(mountinfo.data(), mountinfo.size()), '\n');
  for (const std::string& line : lines) {
    // id parent device root mount_point options... - type source super_options
    const std::vector<std::string> words = Words(line);
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 6 || words.end() - dash < 4) continue;
    const auto place = [&](std::string_view controller) { return Below(words[4], words[3], PathOf(cgroup, controller)); };
    const std::vector<std::string> options = absl::StrSplit(dash[3], ',');
    if (dash[1] == "cgroup2") folders.unified = place("");
    if (dash[1] != "cgroup") continue;
    if (HasWord(options, "memory")) folders.v1_memory = place("memory");
    if (HasWord(options, "pids")) folders.v1_pids = place("pids");
  }
  return folders;
}

CgroupFolders OwnCgroupFolders() {
  return ParseCgroupFolders(ReadText("/proc/self/mountinfo"), ReadText("/proc/self/cgroup"));
}

SlotCgroup::~SlotCgroup() {
  // A process that was just killed may still be on its way out.
  constexpr int kTries = 200;
  for (const fs::path& folder : folders_) {
    for (int i = 0; i < kTries && rmdir(folder.c_str()) != 0 && errno == EBUSY; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

absl::Status SlotCgroup::Add(pid_t pid) const {
  for (const fs::path& folder : folders_) {
    EVILMOE_RETURN_IF_ERROR(WriteKernelFile(folder / "cgroup.procs", absl::StrCat(pid)));
  }
  return absl::OkStatus();
}

absl::Status SlotCgroup::Limit(int64_t more_bytes, int num_tasks) const {
  int64_t used = 0;
  if (!absl::SimpleAtoi(ReadText(folders_[0] / files_.usage), &used)) {
    return absl::UnavailableError(absl::StrCat("cgroup ", folders_[0].string(), ": its memory use cannot be read"));
  }
  EVILMOE_RETURN_IF_ERROR(WriteKernelFile(folders_[0] / files_.limit, absl::StrCat(used + more_bytes)));
  WriteKernelFile(folders_[0] / files_.no_swap, "0").IgnoreError();  // not there on a kernel without swap
  const fs::path tasks = folders_.back() / "pids.max";
  return access(tasks.c_str(), W_OK) == 0 ? WriteKernelFile(tasks, absl::StrCat(num_tasks)) : absl::OkStatus();
}

int64_t SlotCgroup::OomKills() const {
  const std::vector<std::string> words = Words(ReadText(events_));
  const auto name = std::find(words.begin(), words.end(), "oom_kill");
  int64_t count = 0;
  return words.end() - name > 1 && absl::SimpleAtoi(name[1], &count) ? count : 0;
}

absl::StatusOr<std::unique_ptr<CgroupTree>> CgroupTree::FindUnified(const fs::path& parent) {
  const std::vector<std::string> controllers = Words(ReadText(parent / "cgroup.controllers"));
  if (!HasWord(controllers, "memory")) {
    return absl::FailedPreconditionError(absl::StrCat("cgroup ", parent.string(), ": no memory controller here"));
  }
  RemoveLeftovers(parent);
  std::unique_ptr<CgroupTree> tree(new CgroupTree(FilesOf(2), {parent}));
  EVILMOE_RETURN_IF_ERROR(tree->MoveAside());
  const std::string wanted = HasWord(controllers, "pids") ? "+memory +pids" : "+memory";
  EVILMOE_RETURN_IF_ERROR(WriteKernelFile(parent / "cgroup.subtree_control", wanted));
  return tree;
}

absl::StatusOr<std::unique_ptr<CgroupTree>> CgroupTree::Find(const CgroupFolders& folders) {
  absl::StatusOr<std::unique_ptr<CgroupTree>> tree = absl::FailedPreconditionError("cgroup: none is mounted");
  if (!folders.unified.empty()) tree = FindUnified(folders.unified);
  if (!tree.ok() && !folders.v1_memory.empty()) {
    std::vector<fs::path> parents = {folders.v1_memory};
    if (!folders.v1_pids.empty()) parents.push_back(folders.v1_pids);
    for (const fs::path& parent : parents) RemoveLeftovers(parent);
    tree = std::unique_ptr<CgroupTree>(new CgroupTree(FilesOf(1), std::move(parents)));
  }
  EVILMOE_RETURN_IF_ERROR(tree.status());
  EVILMOE_RETURN_IF_ERROR((*tree)->MakeSlot("probe").status());  // and removes it
  return tree;
}

CgroupTree::~CgroupTree() {
  if (own_.empty()) return;
  WriteKernelFile(parents_[0] / "cgroup.subtree_control", "-memory -pids").IgnoreError();
  if (WriteKernelFile(parents_[0] / "cgroup.procs", absl::StrCat(getpid())).ok()) rmdir(own_.c_str());
}

absl::Status CgroupTree::MoveAside() {
  const fs::path own = parents_[0] / absl::StrCat(kPrefix, getpid(), "-grader");
  if (mkdir(own.c_str(), 0755) != 0 && errno != EEXIST) return ErrnoStatus(absl::StrCat("mkdir ", own.string()), errno);
  own_ = own;
  return WriteKernelFile(own / "cgroup.procs", absl::StrCat(getpid()));
}

absl::StatusOr<std::unique_ptr<SlotCgroup>> CgroupTree::MakeSlot(std::string_view name) const {
  std::vector<fs::path> folders;
  for (const fs::path& parent : parents_) {
    folders.push_back(parent / absl::StrCat(kPrefix, getpid(), "-", std::string(name)));
  }
  std::unique_ptr<SlotCgroup> slot(new SlotCgroup(files_, std::move(folders)));
  for (const fs::path& folder : slot->folders_) {
    if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoStatus(absl::StrCat("mkdir ", folder.string()), errno);
    }
  }
  if (access((slot->folders_[0] / files_.limit).c_str(), W_OK) != 0) {
    return ErrnoStatus(absl::StrCat("cgroup ", slot->folders_[0].string(), "/", files_.limit), errno);
  }
  slot->events_ = UniqueFd(open((slot->folders_[0] / files_.events).c_str(), O_RDONLY | O_CLOEXEC));
  if (!slot->events_)
    return ErrnoStatus(absl::StrCat("cgroup ", slot->folders_[0].string(), "/", files_.events), errno);
  return slot;
}

std::string_view CgroupTree::version() const { return files_.version; }

void OfferToOomKiller(pid_t pid) {
  WriteKernelFile(absl::StrCat("/proc/", pid, "/oom_score_adj"), "1000").IgnoreError();
}

}  // namespace evilmoe
