#pragma once

#include <string>
#include <string_view>

namespace evilmoe {

// SHA-256 (FIPS 180-4) of `bytes`, 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);
// Whether `text` is such digits, so that it may become the name of a file.
bool IsSha256(std::string_view text);

}  // namespace evilmoe
