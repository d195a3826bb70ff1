#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace evilmoe {

struct SiblingResult {
  int exit_code = 0;  // -1: it was ended by a signal
  std::string out;
  std::string errors;
};

// Runs a program to its end and collects what it prints; it is called evilmoe-ctl, as it calls itself in its messages.
// NotFound; DeadlineExceeded: it was ended after `timeout`. Unavailable.
absl::StatusOr<SiblingResult> RunProgram(const std::filesystem::path& binary, const std::vector<std::string>& arguments,
                                         absl::Duration timeout, const Clock& clock);
// The same of a sibling binary. NotFound: it is not built.
absl::StatusOr<SiblingResult> RunSibling(std::string_view name, const std::vector<std::string>& arguments,
                                         absl::Duration timeout, const Clock& clock);

}  // namespace evilmoe
