#include "policy/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

namespace evilmoe {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

// What may follow a lead byte: how many bytes in all, and the range of the second (the rest are 80..BF).
// Unicode 15, table 3-7.
struct Lead {
  size_t bytes;
  unsigned char low;
  unsigned char high;
};

Lead LeadOf(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Step NextUtf8(std::string_view text, size_t position) {
  const auto byte_at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte_at(position);
  const Lead lead = LeadOf(first);
  if (lead.bytes == 0) return {kReplacement, 1, false};
  if (lead.bytes == 1) return {first, 1, true};
  char32_t code_point = first & (0x7Fu >> lead.bytes);
  for (size_t i = 1; i < lead.bytes; ++i) {
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xBF;
    if (position + i >= text.size() || byte_at(position + i) < low || byte_at(position + i) > high) {
      return {kReplacement, i, false};
    }
    code_point = (code_point << 6) | (byte_at(position + i) & 0x3Fu);
  }
  return {code_point, lead.bytes, true};
}

size_t CutCharacterBytes(std::string_view text) {
  // The last lead byte decides: what follows it either completes it, breaks it, or leaves it open.
  for (size_t bytes = 1; bytes <= std::min<size_t>(text.size(), 3); ++bytes) {
    const size_t position = text.size() - bytes;
    const auto byte = static_cast<unsigned char>(text[position]);
    if (byte >= 0x80 && byte <= 0xBF) continue;
    const Utf8Step step = NextUtf8(text, position);
    const bool open = !step.valid && step.bytes == bytes && LeadOf(byte).bytes > bytes;
    return open ? bytes : 0;
  }
  return 0;
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Step step = NextUtf8(text, i);
    if (!step.valid) return false;
    i += step.bytes;
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string text) {
  if (IsUtf8(text)) return text;
  std::string replaced;
  for (size_t i = 0; i < text.size();) {
    const Utf8Step step = NextUtf8(text, i);
    replaced += step.valid ? text.substr(i, step.bytes) : EncodeUtf8(kReplacement);
    i += step.bytes;
  }
  return replaced;
}

std::string EncodeUtf8(char32_t code_point) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const utf8proc_ssize_t size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes.data());
  return {reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(size)};
}

}  // namespace evilmoe
