#include "grader_sandbox/literal_text.h"

#include <openssl/bn.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr size_t kMaxIntDigits = 200'000;  // reading and writing decimals costs the square of this
constexpr int kMaxIntBits = 664'385;       // any int of so many bits has no more decimals than that

struct FreeBignum {
  void operator()(BIGNUM* number) const { BN_free(number); }
};
using Bignum = std::unique_ptr<BIGNUM, FreeBignum>;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<int> DigitValue(char c, int base) {
  int value = base;
  if (IsDigit(c)) value = c - '0';
  if (c >= 'a' && c <= 'f') value = c - 'a' + 10;
  if (c >= 'A' && c <= 'F') value = c - 'A' + 10;
  return value < base ? std::optional(value) : std::nullopt;
}

void AppendUtf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xc0 | point >> 6));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  } else if (point < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | point >> 12));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xf0 | point >> 18));
    out.push_back(static_cast<char>(0x80 | (point >> 12 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  }
}

// The code point at the front, and its length; nullopt for bytes that are no UTF-8 (surrogates allowed).
std::optional<std::pair<uint32_t, size_t>> FirstPoint(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) return std::pair(uint32_t{lead}, size_t{1});
  const size_t length = lead >= 0xf0 && lead < 0xf8   ? 4
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                                                      : 0;
  if (length == 0 || text.size() < length) return std::nullopt;
  uint32_t point = lead & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (byte & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[length] || point > 0x10ffff) return std::nullopt;
  return std::pair(point, length);
}

bool IsSurrogate(uint32_t point) { return point >= 0xd800 && point < 0xe000; }

// What stands behind a backslash; the cursor is on the byte after it.
class EscapeReader {
 public:
  EscapeReader(LiteralCursor& cursor, bool bytes, std::string& out) : cursor_(cursor), bytes_(bytes), out_(out) {}

  absl::Status Read() {
    static constexpr std::string_view kNames = "\n\\'\"abfnrtv";
    static constexpr std::string_view kValues{"\0\\'\"\a\b\f\n\r\t\v", 11};
    const char c = cursor_.Peek();
    if (const size_t index = kNames.find(c); index != std::string_view::npos && !cursor_.AtEnd()) {
      cursor_.Skip();
      if (index != 0) out_.push_back(kValues[index]);
      return absl::OkStatus();
    }
    if (c >= '0' && c <= '7') return Octal();
    if (c == 'x') return Hex(2);
    if (!bytes_ && c == 'u') return Hex(4);
    if (!bytes_ && c == 'U') return Hex(8);
    if (!bytes_ && c == 'N') return cursor_.Expected("no \\N{...} escape");
    out_.push_back('\\');  // Python keeps an unknown escape as it stands
    return absl::OkStatus();
  }

 private:
  void Put(uint32_t number) {
    if (bytes_) {
      out_.push_back(static_cast<char>(number));
    } else {
      AppendUtf8(out_, number);
    }
  }
  absl::Status Octal() {
    uint32_t number = 0;
    for (int i = 0; i < 3 && cursor_.Peek() >= '0' && cursor_.Peek() <= '7'; ++i) {
      number = number * 8 + static_cast<uint32_t>(cursor_.Peek() - '0');
      cursor_.Skip();
    }
    Put(number);
    return absl::OkStatus();
  }
  absl::Status Hex(int num_digits) {
    cursor_.Skip();
    uint32_t number = 0;
    for (int i = 0; i < num_digits; ++i) {
      const std::optional<int> digit = DigitValue(cursor_.Peek(), 16);
      if (!digit) return cursor_.Expected(absl::StrCat(num_digits, " hex digits"));
      number = number << 4 | static_cast<uint32_t>(*digit);
      cursor_.Skip();
    }
    if (number > 0x10ffff) return cursor_.Expected("a code point up to 0x10ffff");
    Put(number);
    return absl::OkStatus();
  }

  LiteralCursor& cursor_;
  const bool bytes_;
  std::string& out_;
};

PyInt FromBignum(const BIGNUM* number) {
  PyInt result;
  result.magnitude.resize(static_cast<size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(result.magnitude.data()));
  return result;
}

absl::StatusOr<Value> IntFromDigits(const LiteralCursor& cursor, const std::string& digits, int base) {
  if (digits.empty()) return cursor.Expected("a digit");
  if (digits.size() > kMaxIntDigits) return cursor.Expected(absl::StrCat("at most ", kMaxIntDigits, " digits"));
  BIGNUM* raw = nullptr;
  if (base == 10 || base == 16) {
    (base == 10 ? BN_dec2bn : BN_hex2bn)(&raw, digits.c_str());
  } else {
    raw = BN_new();
    for (const char digit : digits) {
      BN_mul_word(raw, static_cast<BN_ULONG>(base));
      BN_add_word(raw, static_cast<BN_ULONG>(digit - '0'));
    }
  }
  const Bignum number(raw);
  if (number == nullptr) return absl::InternalError("test: no memory for an int");
  if (base != 10 && BN_num_bits(number.get()) > kMaxIntBits) {
    return cursor.Expected(absl::StrCat("an int of at most ", kMaxIntBits, " bits"));
  }
  return Value(FromBignum(number.get()));
}

// Digits with single underscores between them; one in front, too, where a prefix names the base.
std::string TakeDigits(LiteralCursor& cursor, int base) {
  std::string digits;
  if (base == 10 && cursor.Peek() == '_') return digits;
  while (DigitValue(cursor.Peek(), base) || (cursor.Peek() == '_' && DigitValue(cursor.Peek(1), base))) {
    if (cursor.Peek() != '_') digits.push_back(cursor.Peek());
    cursor.Skip();
  }
  return digits;
}

int PrefixedBase(const LiteralCursor& cursor) {
  if (cursor.Peek() != '0') return 10;
  switch (cursor.Peek(1)) {
    case 'x':
    case 'X': return 16;
    case 'o':
    case 'O': return 8;
    case 'b':
    case 'B': return 2;
    default: return 10;
  }
}

void AppendHex(std::string& out, char kind, uint32_t number, int num_digits) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '\\';
  out += kind;
  for (int shift = 4 * (num_digits - 1); shift >= 0; shift -= 4) out += kHex[number >> shift & 0xf];
}

// True when `c` was written as one of the short escapes that str and bytes share.
bool AppendShortEscape(std::string& out, uint32_t c) {
  switch (c) {
    case '\\': out += "\\\\"; return true;
    case '\'': out += "\\'"; return true;
    case '\n': out += "\\n"; return true;
    case '\r': out += "\\r"; return true;
    case '\t': out += "\\t"; return true;
    default: return false;
  }
}

}  // namespace

absl::StatusOr<std::string> ReadSource(std::string_view text) {
  std::string source;
  source.reserve(text.size());
  while (!text.empty()) {
    const auto point = FirstPoint(text);
    if (!point || IsSurrogate(point->first)) return absl::InvalidArgumentError("test: found bytes that are not UTF-8");
    const auto [c, length] = *point;
    if (c == 0) return absl::InvalidArgumentError("test: found a NUL byte, expected none");
    if (c != '\r') source += text.substr(0, length);
    if (c == '\r' && !text.substr(1).starts_with('\n')) source += '\n';
    text.remove_prefix(length);
  }
  return source;
}

absl::StatusOr<Value> ParseTextToken(LiteralCursor& cursor) {
  std::string prefix;
  while (cursor.Peek(prefix.size()) != '\'' && cursor.Peek(prefix.size()) != '"') {
    prefix += static_cast<char>(cursor.Peek(prefix.size()) | 0x20);
  }
  const bool raw = prefix == "r" || prefix == "br" || prefix == "rb";
  const bool bytes = prefix == "b" || prefix == "br" || prefix == "rb";
  if (!raw && !bytes && !prefix.empty() && prefix != "u") {
    return cursor.Expected("a string with one of the prefixes r, b, br, rb and u or none");
  }
  cursor.Skip(prefix.size());
  const char quote = cursor.Peek();
  if (cursor.Peek(1) == quote && cursor.Peek(2) == quote) {
    return cursor.Expected("a string in single quotes of its kind");
  }
  cursor.Skip();
  std::string text;
  while (cursor.Peek() != quote || cursor.AtEnd()) {
    if (cursor.AtEnd() || cursor.Peek() == '\n') return cursor.Expected("a closing quote");
    const char c = cursor.Peek();
    if (bytes && static_cast<unsigned char>(c) >= 0x80) return cursor.Expected("ASCII in bytes");
    cursor.Skip();
    if (c != '\\') {
      text.push_back(c);
    } else if (raw) {
      text.push_back(c);
      if (cursor.Peek() == quote || cursor.Peek() == '\\' || cursor.Peek() == '\n') {
        text.push_back(cursor.Peek());
        cursor.Skip();
      }
    } else {
      EVILMOE_RETURN_IF_ERROR(EscapeReader(cursor, bytes, text).Read());
    }
  }
  cursor.Skip();
  if (bytes) return Value(PyBytes{std::move(text)});
  return Value(PyStr{std::move(text)});
}

absl::StatusOr<Value> ParseNumberToken(LiteralCursor& cursor) {
  if (const int base = PrefixedBase(cursor); base != 10) {
    cursor.Skip(2);
    return IntFromDigits(cursor, TakeDigits(cursor, base), base);
  }
  std::string text = TakeDigits(cursor, 10);
  bool is_float = false;
  if (cursor.Peek() == '.') {
    is_float = true;
    cursor.Skip();
    text += '.' + TakeDigits(cursor, 10);
    if (text == ".") return cursor.Expected("a digit");
  }
  const size_t sign = cursor.Peek(1) == '+' || cursor.Peek(1) == '-' ? 1 : 0;
  if ((cursor.Peek() == 'e' || cursor.Peek() == 'E') && IsDigit(cursor.Peek(1 + sign))) {
    is_float = true;
    text += 'e';
    if (sign != 0) text += cursor.Peek(1);
    cursor.Skip(1 + sign);
    text += TakeDigits(cursor, 10);
  }
  if (cursor.Peek() == 'j' || cursor.Peek() == 'J') return cursor.Expected("no complex number");
  if (is_float) return Value(std::strtod(text.c_str(), nullptr));  // too large gives inf, as in Python
  if (text.size() > 1 && text[0] == '0' && text.find_first_not_of('0') != std::string::npos) {
    return cursor.Expected("no leading zero in front of the int");
  }
  return IntFromDigits(cursor, text, 10);
}

absl::StatusOr<std::string> QuoteStr(std::string_view utf8) {
  std::string out = "'";
  while (!utf8.empty()) {
    const auto point = FirstPoint(utf8);
    if (!point) return absl::InvalidArgumentError("str: not UTF-8, expected UTF-8 with surrogates");
    const auto [c, length] = *point;
    if (AppendShortEscape(out, c)) {
    } else if (c < 0x20 || (c >= 0x7f && c < 0xa1)) {
      AppendHex(out, 'x', c, 2);
    } else if (IsSurrogate(c)) {
      AppendHex(out, 'u', c, 4);
    } else {
      out += utf8.substr(0, length);
    }
    utf8.remove_prefix(length);
  }
  return out + "'";
}

std::string QuoteBytes(std::string_view bytes) {
  std::string out = "b'";
  for (const char byte : bytes) {
    const auto c = static_cast<uint8_t>(byte);
    if (AppendShortEscape(out, c)) continue;
    if (c < 0x20 || c >= 0x7f) {
      AppendHex(out, 'x', c, 2);
    } else {
      out += byte;
    }
  }
  return out + "'";
}

absl::StatusOr<std::string> DecimalDigits(const PyInt& number) {
  if (number.magnitude.size() > kMaxIntBits / 8 + 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("int: ", number.magnitude.size(), " bytes, expected at most ", kMaxIntDigits, " digits"));
  }
  const Bignum big(BN_bin2bn(reinterpret_cast<const unsigned char*>(number.magnitude.data()),
                             static_cast<int>(number.magnitude.size()), nullptr));
  EVILMOE_CHECK(big != nullptr);
  char* digits = BN_bn2dec(big.get());
  EVILMOE_CHECK(digits != nullptr);
  std::string text = digits;
  OPENSSL_free(digits);
  if (text.size() > kMaxIntDigits) {
    return absl::InvalidArgumentError(absl::StrCat("int: ", text.size(), " digits, expected at most ", kMaxIntDigits));
  }
  return number.negative ? "-" + text : text;
}

}  // namespace evilmoe
