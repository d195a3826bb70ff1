#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace evilmoe {

// Text from outside as a message may quote it: in quotes, on one line, "..." behind it when only its first `max_bytes`
// bytes are shown. Always UTF-8, whatever `text` is and wherever it is cut.
std::string ShownText(std::string_view text, size_t max_bytes);

// Text from outside as a terminal may show it, over several lines: newlines and tabs stay; every other control character
// (those that move the cursor, recolour, or talk to the terminal) and every mark that reorders text is written out, as
// "\x1b" or "\u202e". Always UTF-8: what is none comes out as U+FFFD.
std::string ShownLines(std::string_view text);
// The same on one line: a newline or tab becomes a space.
std::string ShownLine(std::string_view text);

}  // namespace evilmoe
