#pragma once

#include <string>
#include <string_view>

namespace evilmoe {

// The code of a response.
struct ExtractedCode {
  bool formatted = false;  // at least one Python block with something in it
  std::string code;        // the blocks, joined by one blank line; empty when not formatted
};

// Reads a response as Markdown. A fence is a line that begins with three or more backticks (spaces in front are
// allowed); a block is Python when its label is "python" or empty; the last one may be unclosed. Blocks with another
// label are skipped. A block of white space alone counts as none, so that an empty answer earns nothing.
ExtractedCode ExtractCode(std::string_view response);

}  // namespace evilmoe
