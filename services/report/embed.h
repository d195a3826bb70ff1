#pragma once

#include <string>
#include <string_view>

#include "nlohmann/json.hpp"

namespace evilmoe {

// Text for the inside of an HTML element or a quoted attribute. Bytes that are not UTF-8, and control characters
// other than tab and newline, come out as U+FFFD.
std::string EscapeHtml(std::string_view text);

// JSON for the inside of a <script> element: no '<', '>' or '&' is left in it, so no text can end the element or
// open a comment, and U+2028/2029 are escaped too. Parses back to the same value, invalid UTF-8 apart (U+FFFD).
std::string EmbedJson(const nlohmann::ordered_json& json);

// The longest prefix of `text` that has at most `max_bytes` bytes and does not cut a UTF-8 character.
std::string_view Utf8Prefix(std::string_view text, size_t max_bytes);

}  // namespace evilmoe
