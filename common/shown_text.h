#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace evilmoe {

// Text from outside as a message may quote it: in quotes, on one line, "..." behind it when only its first `max_bytes`
// bytes are shown. Always UTF-8, whatever `text` is and wherever it is cut.
std::string ShownText(std::string_view text, size_t max_bytes);

}  // namespace evilmoe
