#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace evilmoe {

// One step through UTF-8 text.
struct Utf8Step {
  char32_t code_point = 0;  // U+FFFD when not valid
  size_t bytes = 0;         // >= 1: the character, or the longest prefix of one that the text breaks off
  bool valid = false;
};

// The character at `position`. Requires position < text.size().
Utf8Step NextUtf8(std::string_view text, size_t position);

bool IsUtf8(std::string_view text);

// How many bytes at the end of `text` begin a character that more bytes could complete: 0 to 3.
size_t CutCharacterBytes(std::string_view text);

// Each broken character becomes one U+FFFD (Unicode 15, section 3.9, "maximal subparts").
std::string ReplaceInvalidUtf8(std::string text);

std::string EncodeUtf8(char32_t code_point);

}  // namespace evilmoe
