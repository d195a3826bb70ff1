#pragma once

#include <string>
#include <string_view>

namespace evilmoe {

// Unicode normalisation form C as Hugging Face tokenizers computes it, that is by the tables of Unicode 9: marks of a
// later version are neither reordered nor composed (newer_marks.inc). Requires valid UTF-8.
std::string ToNfc(std::string_view text);

// True for most text that NFC leaves as it is, at the price of one pass; false: unknown. Requires valid UTF-8.
bool IsCertainlyNfc(std::string_view text);

}  // namespace evilmoe
