#include "common/shown_text.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

// One character of UTF-8 and its length in bytes; `value` is -1 where there is none, and the length then 1.
struct CodePoint {
  int32_t value = -1;
  size_t size = 1;
};

CodePoint DecodeFirst(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const size_t size = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < size) return {};
  int32_t value = byte(0) & (0x7F >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = (value << 6) | (byte(i) & 0x3F);
  }
  constexpr int32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
  return {value, size};
}

bool IsControl(int32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }
// Marks, embeddings, overrides and isolates of the bidirectional algorithm.
bool TurnsText(int32_t c) {
  return c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

std::string ShownText(std::string_view text, size_t max_bytes) {
  const nlohmann::json head = std::string(text.substr(0, max_bytes));
  return head.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + (text.size() > max_bytes ? "..." : "");
}

std::string ShownLines(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = DecodeFirst(text);
    if (c.value < 0) {
      shown += kReplacement;
    } else if (c.value == '\n' || c.value == '\t' || !(IsControl(c.value) || TurnsText(c.value))) {
      shown += text.substr(0, c.size);
    } else {
      char escape[8];
      std::snprintf(escape, sizeof escape, c.value < 0x100 ? "\\x%02x" : "\\u%04x", static_cast<unsigned>(c.value));
      shown += escape;
    }
    text.remove_prefix(c.size);
  }
  return shown;
}

std::string ShownLine(std::string_view text) {
  std::string shown = ShownLines(text);
  std::replace_if(shown.begin(), shown.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return shown;
}

}  // namespace evilmoe
