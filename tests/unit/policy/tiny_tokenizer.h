#pragma once

#include "nlohmann/json.hpp"

namespace evilmoe {

// A tokenizer.json with Qwen3's pipeline: ids 0..255 are the bytes in the order of their spelling's code points
// ("!" = 0 ... "a" = 64 ...), then "he" 256, "ll" 257, "hell" 258, "hello" 259 and " hello" 260, then
// "<|im_start|>" 261, "<|im_end|>" 262 (special) and "<think>" 263, "</think>" 264.
nlohmann::json TinyTokenizerJson();

}  // namespace evilmoe
