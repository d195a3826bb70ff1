#include "environment/response.h"

#include <algorithm>
#include <cstddef>
#include <optional>

namespace evilmoe {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n\f\v";

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) - begin + 1);
}

struct Fence {
  size_t width;            // number of backticks
  std::string_view label;  // trimmed
};

std::optional<Fence> FenceIn(std::string_view line) {
  const std::string_view text = Trim(line);
  const size_t width = std::min(text.find_first_not_of('`'), text.size());
  if (width < 3) return std::nullopt;
  const std::string_view label = Trim(text.substr(width));
  // "```x```" on one line is inline code.
  if (label.find('`') != std::string_view::npos) return std::nullopt;
  return Fence{width, label};
}

// Takes one line off the front of `text`, its newline included.
std::string_view NextLine(std::string_view& text) {
  const size_t end = text.find('\n');
  const size_t size = end == std::string_view::npos ? text.size() : end + 1;
  const std::string_view line = text.substr(0, size);
  text.remove_prefix(size);
  return line;
}

// Takes a block's lines and its closing fence off the front of `text`; returns the lines.
std::string_view TakeBlock(std::string_view& text, size_t width) {
  const std::string_view begin = text;
  while (!text.empty()) {
    const size_t consumed = begin.size() - text.size();
    const std::optional<Fence> fence = FenceIn(NextLine(text));
    if (fence && fence->width >= width && fence->label.empty()) return begin.substr(0, consumed);
  }
  return begin;
}

}  // namespace

ExtractedCode ExtractCode(std::string_view response) {
  ExtractedCode out;
  while (!response.empty()) {
    const std::optional<Fence> fence = FenceIn(NextLine(response));
    if (!fence) continue;
    std::string_view block = TakeBlock(response, fence->width);
    if (!fence->label.empty() && fence->label != "python") continue;
    if (Trim(block).empty()) continue;
    if (block.ends_with('\n')) block.remove_suffix(1);
    while (block.ends_with('\r')) block.remove_suffix(1);  // so that the code, fenced again, stays as it is
    if (out.formatted) out.code += "\n\n";
    out.code += block;
    out.formatted = true;
  }
  return out;
}

}  // namespace evilmoe
