#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"

namespace evilmoe {

// What there is on this machine, read from /proc and from folders.

// Asks every millisecond. False: it never was true within `timeout`.
inline bool AwaitHolds(const std::function<bool()>& is_true, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  Mutex mu;
  while (!is_true()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    const MutexLock lock(mu);
    mu.AwaitFor(absl::Milliseconds(1), [] { return false; });
  }
  return true;
}

// Names that begin with `prefix`; none when there is no such folder.
inline std::vector<std::string> NamesIn(const std::string& folder, const std::string& prefix = "") {
  std::vector<std::string> names;
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return names;
  while (const dirent* entry = readdir(entries)) {
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && name.starts_with(prefix)) names.push_back(name);
  }
  closedir(entries);
  return names;
}

// Less the one that looks.
inline int NumDescriptors() { return static_cast<int>(NamesIn("/proc/self/fd").size()) - 1; }

struct ProcessState {
  char state = 'X';  // as in /proc/<pid>/stat; X = there is none
  pid_t parent = 0;
};

// A process may end while we look.
inline ProcessState StateOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string stat;
  ProcessState found;
  if (!std::getline(file, stat)) return found;
  const size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end != std::string::npos) std::sscanf(stat.c_str() + name_end + 1, " %c %d", &found.state, &found.parent);
  return found;
}

inline bool IsGone(pid_t pid) {
  const char state = StateOf(pid).state;
  return state == 'X' || state == 'Z';
}

// Processes below `ancestor`, at any depth, zombies too; those of `ancestor` itself first.
inline std::vector<pid_t> ProcessesBelow(pid_t ancestor) {
  std::multimap<pid_t, pid_t> children;
  for (const std::string& name : NamesIn("/proc")) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(name, &pid)) children.emplace(StateOf(pid).parent, pid);
  }
  std::vector<pid_t> below;
  const auto add = [&](pid_t parent) {
    const auto [first, last] = children.equal_range(parent);
    for (auto child = first; child != last; ++child) below.push_back(child->second);
  };
  add(ancestor);
  for (size_t i = 0; i < below.size(); ++i) add(below[i]);
  return below;
}

// One that is below a process below `ancestor`: a run, below a zygote. 0: none.
inline pid_t SomeRunBelow(pid_t ancestor) {
  for (const pid_t pid : ProcessesBelow(ancestor)) {
    const ProcessState state = StateOf(pid);
    if (state.parent != ancestor && state.state != 'Z' && state.state != 'X') return pid;
  }
  return 0;
}

// Memory in use; 0 = there is no such process.
inline int64_t RssBytes(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  int64_t kib = 0;
  for (std::string line; std::getline(file, line);) {
    if (std::sscanf(line.c_str(), "VmRSS: %ld", &kib) == 1) break;
  }
  return kib * 1024;
}

}  // namespace evilmoe
