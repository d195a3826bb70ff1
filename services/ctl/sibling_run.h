#pragma once

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

// Runs a sibling binary to its end and collects what it prints. NotFound: it is not built. DeadlineExceeded: it was
// ended after `timeout`. Unavailable.
absl::StatusOr<SiblingResult> RunSibling(std::string_view name, const std::vector<std::string>& arguments,
                                         absl::Duration timeout, const Clock& clock);

}  // namespace evilmoe
