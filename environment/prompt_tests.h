#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace evilmoe {

// A test function that a prompt shows.

inline constexpr size_t kMaxPromptAsserts = 10;

// `def {name}():` over the first kMaxPromptAsserts of `asserts`; no newline at its end. Needs at least one assert.
std::string PromptTests(std::string_view name, std::span<const std::string> asserts);

// Puts `tests` behind the starter code: a blank line below it, before the fence that closes it, which is the last one
// of the message. InvalidArgument: the message has no fence of its own line.
absl::Status ShowPromptTests(std::string_view tests, std::string& message);

// Whether two test functions are the same but for white space and case.
bool SameTestFunction(std::string_view one, std::string_view other);

}  // namespace evilmoe
