// Any text as a response: its code is what a plain reading of response.h, line by line, makes it, is lines of the
// response in order, and a fence around a text gives that text again.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "environment/response.h"

namespace evilmoe {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n\f\v";
constexpr size_t kMaxRepeated = 8;
constexpr size_t kLongText = 1 << 18;  // the square of it would take longer than a fuzzer waits

bool IsBlank(std::string_view text) { return text.find_first_not_of(kWhiteSpace) == std::string_view::npos; }

std::string_view Stripped(std::string_view text) {
  if (IsBlank(text)) return {};
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1);
}

std::string_view WithoutReturns(std::string_view text) { return text.substr(0, text.find_last_not_of('\r') + 1); }

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

size_t LongestTicks(std::string_view text) {
  size_t longest = 0;
  size_t run = 0;
  for (const char c : text) longest = std::max(longest, run = c == '`' ? run + 1 : 0);
  return longest;
}

// One after the other, closed or not, whatever their label.
struct Block {
  bool is_python = false;
  std::vector<std::string_view> lines;
};

std::vector<Block> Blocks(std::string_view response) {
  std::vector<Block> blocks;
  size_t width = 0;  // of the fence that is open; 0: none
  for (const std::string_view line : Lines(response)) {
    const std::string_view text = Stripped(line);
    const size_t ticks = std::min(text.find_first_not_of('`'), text.size());
    const std::string_view label = Stripped(text.substr(ticks));
    const bool is_fence = ticks >= 3 && label.find('`') == std::string_view::npos;
    if (width == 0) {
      if (is_fence) blocks.push_back({.is_python = label.empty() || label == "python", .lines = {}});
      if (is_fence) width = ticks;
    } else if (is_fence && ticks >= width && label.empty()) {
      width = 0;
    } else {
      blocks.back().lines.push_back(line);
    }
  }
  return blocks;
}

std::string ExpectedCode(std::string_view response) {
  std::string code;
  for (const Block& block : Blocks(response)) {
    std::string text;
    for (const std::string_view line : block.lines) text.append(line).append("\n");
    if (!block.is_python || IsBlank(text)) continue;
    text.pop_back();
    code.append(code.empty() ? "" : "\n\n").append(WithoutReturns(text));
  }
  return code;
}

// A line of `code` is the next such line of the response, or the blank one between two blocks.
void CheckLinesInOrder(std::string_view code, std::string_view response) {
  const std::vector<std::string_view> lines = Lines(response);
  auto at = lines.begin();
  for (const std::string_view line : Lines(code)) {
    if (line.empty()) continue;
    at = std::find_if(at, lines.end(),
                      [&](std::string_view other) { return other == line || WithoutReturns(other) == line; });
    EVILMOE_CHECK(at != lines.end());
    ++at;
  }
}

// `text` in a fence that nothing in it closes.
void CheckFenced(std::string_view text) {
  const std::string fence(std::max<size_t>(3, LongestTicks(text) + 1), '`');
  const std::string block = absl::StrCat("\n", std::string(text), "\n");
  for (const char* label : {"", "python"}) {
    const std::string opened = absl::StrCat(fence, label, block);
    for (const std::string& response : {opened, opened + fence, absl::StrCat("Here:\n", opened, fence, "\nDone.\n")}) {
      const ExtractedCode fenced = ExtractCode(response);
      EVILMOE_CHECK(fenced.formatted == !IsBlank(text));
      if (fenced.formatted) EVILMOE_CHECK(fenced.code == WithoutReturns(text));
    }
  }
  EVILMOE_CHECK(!ExtractCode(absl::StrCat(fence, "text", block, fence)).formatted);
}

void CheckLongText(std::string_view text) {
  std::string repeated;
  while (repeated.size() < kLongText) repeated += text;
  EVILMOE_CHECK(ExtractCode(repeated).code.size() <= 2 * repeated.size());
}

void Fuzz(std::string_view response) {
  const ExtractedCode extracted = ExtractCode(response);
  EVILMOE_CHECK(extracted.code == ExpectedCode(response));
  EVILMOE_CHECK(extracted.formatted == !IsBlank(extracted.code));
  EVILMOE_CHECK(extracted.formatted || extracted.code.empty());
  CheckLinesInOrder(extracted.code, response);
  CheckFenced(response);
  CheckFenced(extracted.code);
  if (!response.empty() && response.size() <= kMaxRepeated) CheckLongText(response);
}

}  // namespace
}  // namespace evilmoe

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  evilmoe::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
