#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace evilmoe {

// A run's id: 26 letters of Crockford's base 32, 48 bits of milliseconds and then 80 bits of chance, so that ids sort
// by the time they were made (github.com/ulid/spec). `entropy` is taken as it is; a time before 1970 counts as 1970.
std::string MakeUlid(absl::Time time, const std::array<uint8_t, 10>& entropy);
// Of now, with the kernel's random bytes.
std::string NewUlid(absl::Time now);
bool IsUlid(std::string_view text);

}  // namespace evilmoe
