#pragma once

#include <string>
#include <string_view>

namespace evilmoe {

// SHA-256 (FIPS 180-4) of `bytes`, 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);

}  // namespace evilmoe
