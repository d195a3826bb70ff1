#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace evilmoe {

struct ProcessSpec {
  std::filesystem::path binary;
  std::string name;                    // shown by ps; empty = the binary's path
  std::vector<std::string> arguments;  // without the program's name
  std::filesystem::path output;        // standard output and error are appended here; empty = ours
  std::filesystem::path errors;        // standard error is appended here instead; empty = with the output
  bool new_session = false;            // its own session and process group, so that no terminal ends it
  int stdin_fd = -1;                   // -1 = /dev/null
  // "NAME=value", beside our own environment, whose value of a name wins: a person's setting outlives a default.
  std::vector<std::string> default_environment;
};

// Starts a program with default signals; it inherits no other descriptor of ours. NotFound, Unavailable.
absl::StatusOr<pid_t> Spawn(const ProcessSpec& spec);
// The wait status of a child that has ended; nullopt while it lives.
std::optional<int> Reap(pid_t pid);
// "exit code 3", "signal 9 (Killed)".
std::string DescribeExit(int wait_status);

}  // namespace evilmoe
