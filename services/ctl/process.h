#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/child_process.h"

namespace evilmoe {

// A program that was built beside this one. NotFound says where it was looked for.
absl::StatusOr<std::filesystem::path> SiblingBinary(std::string_view name);
// Becomes the sibling with these arguments; returns only on failure.
absl::Status ExecSibling(std::string_view name, const std::vector<std::string>& arguments);

// Signals as something to wait for: made once, early, since the threads that come later inherit the blocked set.
class SignalWaiter {
 public:
  // Blocks `signals` in this thread.
  explicit SignalWaiter(const std::vector<int>& signals);
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;
  // The next signal, or 0 after `timeout`.
  int Wait(absl::Duration timeout);

 private:
  int fd_;
};

}  // namespace evilmoe
