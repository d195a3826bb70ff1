#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "grader_sandbox/literal_cursor.h"
#include "grader_sandbox/value.h"

namespace evilmoe {

// The string and number tokens of literal_parser.h.

// The text as Python reads it: line ends as \n. InvalidArgument when it is not UTF-8 or holds a NUL byte.
absl::StatusOr<std::string> ReadSource(std::string_view text);

// A str or bytes token with its prefix and quotes. The cursor stands on the first byte of the prefix or the quote.
absl::StatusOr<Value> ParseTextToken(LiteralCursor& cursor);

// An unsigned int or float. The cursor stands on a digit or a point.
absl::StatusOr<Value> ParseNumberToken(LiteralCursor& cursor);

// 'x' with Python's escapes. InvalidArgument when `utf8` is not UTF-8 with surrogates.
absl::StatusOr<std::string> QuoteStr(std::string_view utf8);
std::string QuoteBytes(std::string_view bytes);

// InvalidArgument for more digits than ParseNumberToken() takes.
absl::StatusOr<std::string> DecimalDigits(const PyInt& number);

}  // namespace evilmoe
