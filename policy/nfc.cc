#include "policy/nfc.h"

#include <utf8proc.h>

#include <array>
#include <bitset>
#include <cstdlib>
#include <memory>

#include "common/status_macros.h"
#include "policy/code_point_ranges.h"
#include "policy/utf8.h"

namespace evilmoe {
namespace {

constexpr CodePointRange kNewerMarks[] = {
#include "policy/newer_marks.inc"
};

void AppendNfc(std::string_view text, std::string& out) {
  utf8proc_uint8_t* composed = nullptr;
  const utf8proc_ssize_t size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &composed, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(composed, &std::free);
  EVILMOE_CHECK(size >= 0);  // the text is valid UTF-8: only memory can run out
  out.append(reinterpret_cast<const char*>(composed), static_cast<size_t>(size));
}

// The code points that NFC leaves alone whatever stands before and after them: of combining class 0, their own normal
// form, and never the second part of a composition.
class InertCharacters {
 public:
  InertCharacters() {
    inert_.set();
    for (utf8proc_int32_t c = 0; c < kSize; ++c) {
      if ((c >= 0xD800 && c <= 0xDFFF) || Contains(kNewerMarks, static_cast<char32_t>(c))) continue;
      if (utf8proc_get_property(c)->combining_class != 0) inert_.reset(static_cast<size_t>(c));
      int bound_class = 0;
      std::array<utf8proc_int32_t, 32> parts{};
      const utf8proc_ssize_t count =
          utf8proc_decompose_char(c, parts.data(), static_cast<utf8proc_ssize_t>(parts.size()),
                                  static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &bound_class);
      if (count == 1 && parts[0] == c) continue;
      const std::string text = EncodeUtf8(static_cast<char32_t>(c));
      std::string normal;
      AppendNfc(text, normal);
      // A composition that stands ends in its second part; any other decomposition replaces the character.
      const utf8proc_int32_t changed = normal == text ? parts[static_cast<size_t>(count) - 1] : c;
      if (changed < kSize) inert_.reset(static_cast<size_t>(changed));
    }
  }

  bool Has(char32_t code_point) const { return code_point < kSize && inert_[code_point]; }

 private:
  static constexpr utf8proc_int32_t kSize = 0x30000;  // beyond are rare ideographs, tags and private use

  std::bitset<kSize> inert_;
};

}  // namespace

std::string ToNfc(std::string_view text) {
  std::string out;
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    // U+05C8, the first newer mark, begins with D7.
    if (static_cast<unsigned char>(text[i]) < 0xD7) {
      ++i;
      continue;
    }
    const Utf8Step step = NextUtf8(text, i);
    if (Contains(kNewerMarks, step.code_point)) {  // to Unicode 9 a boundary: nothing passes it
      if (i > done) AppendNfc(text.substr(done, i - done), out);
      out += text.substr(i, step.bytes);
      done = i + step.bytes;
    }
    i += step.bytes;
  }
  if (text.size() > done) AppendNfc(text.substr(done), out);
  return out;
}

bool IsCertainlyNfc(std::string_view text) {
  static const InertCharacters inert;
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0xCC) {  // CC 80 is U+0300: below it nothing combines or decomposes
      ++i;
      continue;
    }
    const Utf8Step step = NextUtf8(text, i);
    if (!inert.Has(step.code_point)) return false;
    i += step.bytes;
  }
  return true;
}

}  // namespace evilmoe
