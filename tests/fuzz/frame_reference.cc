#include "tests/fuzz/frame_reference.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace evilmoe {
namespace {

constexpr int kMaxDepth = 200;
constexpr size_t kMaxExactBytes = 16;  // an int of more is no float of an expected value

std::optional<uint32_t> TakeU32(std::string_view& bytes) {
  if (bytes.size() < 4) return std::nullopt;
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number |= uint32_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  bytes.remove_prefix(4);
  return number;
}

std::optional<std::string_view> TakeText(std::string_view& bytes) {
  const std::optional<uint32_t> size = TakeU32(bytes);
  if (!size || bytes.size() < *size) return std::nullopt;
  const std::string_view text = bytes.substr(0, *size);
  bytes.remove_prefix(*size);
  return text;
}

// Takes one value off the front; its bytes, or nullopt for what is none.
std::optional<std::string_view> TakeValue(std::string_view& bytes, int depth = 0) {
  const std::string_view start = bytes;
  if (bytes.empty() || depth > kMaxDepth) return std::nullopt;
  const char tag = bytes[0];
  bytes.remove_prefix(1);
  if (tag == 'f') {
    if (bytes.size() < 8) return std::nullopt;
    bytes.remove_prefix(8);
  } else if (std::strchr("insbo", tag) != nullptr) {
    if (!TakeText(bytes)) return std::nullopt;
  } else if (std::strchr("ltSLRd", tag) != nullptr) {
    const std::optional<uint32_t> count = TakeU32(bytes);
    if (!count) return std::nullopt;
    for (uint64_t i = 0; i < uint64_t{*count} * (tag == 'd' ? 2 : 1); ++i) {
      if (!TakeValue(bytes, depth + 1)) return std::nullopt;
    }
  } else if (std::strchr("NTF", tag) == nullptr) {
    return std::nullopt;
  }
  return start.substr(0, start.size() - bytes.size());
}

// The values behind a tag and a count; nullopt when there is anything else.
std::optional<std::vector<std::string_view>> Members(std::string_view bytes, char tag, size_t count) {
  if (bytes.empty() || bytes[0] != tag) return std::nullopt;
  bytes.remove_prefix(1);
  const std::optional<uint32_t> told = TakeU32(bytes);
  if (!told || size_t{*told} * (tag == 'd' ? 2 : 1) != count) return std::nullopt;
  std::vector<std::string_view> members;
  for (size_t i = 0; i < count; ++i) {
    const std::optional<std::string_view> member = TakeValue(bytes);
    if (!member) return std::nullopt;
    members.push_back(*member);
  }
  return bytes.empty() ? std::optional(members) : std::nullopt;
}

struct Number {
  bool is_float = false;
  double real = 0;
  bool negative = false;
  std::string magnitude;
};

std::optional<Number> ToNumber(const Value& value) {
  if (const bool* flag = value.As<bool>()) return Number{.magnitude = *flag ? std::string(1, '\1') : ""};
  if (const PyInt* number = value.As<PyInt>())
    return Number{.negative = number->negative, .magnitude = number->magnitude};
  if (const double* real = value.As<double>()) return Number{.is_float = true, .real = *real};
  return std::nullopt;
}

std::optional<Number> ToNumber(std::string_view bytes) {
  if (bytes == "T" || bytes == "F") return ToNumber(Value(bytes == "T"));
  if (bytes.starts_with('f') && bytes.size() == 9) {
    Number number{.is_float = true};
    uint64_t bits = 0;
    for (size_t i = 0; i < 8; ++i) bits |= uint64_t{static_cast<uint8_t>(bytes[i + 1])} << (8 * i);
    std::memcpy(&number.real, &bits, sizeof bits);
    return number;
  }
  if (!bytes.starts_with('i') && !bytes.starts_with('n')) return std::nullopt;
  const bool negative = bytes[0] == 'n';
  bytes.remove_prefix(1);
  const std::optional<std::string_view> magnitude = TakeText(bytes);
  if (!magnitude || !bytes.empty() || (negative && magnitude->empty()) || magnitude->starts_with('\0'))
    return std::nullopt;
  return Number{.negative = negative, .magnitude = std::string(*magnitude)};
}

long double ToReal(const Number& number) {
  if (number.is_float) return number.real;
  long double real = 0;
  for (const char byte : number.magnitude) real = real * 256 + static_cast<uint8_t>(byte);
  return number.negative ? -real : real;
}

bool NumbersEqual(const Number& a, const Number& b) {
  if (!a.is_float && !b.is_float) return a.negative == b.negative && a.magnitude == b.magnitude;
  return std::max(a.magnitude.size(), b.magnitude.size()) <= kMaxExactBytes && ToReal(a) == ToReal(b);
}

bool SequenceHoldsEqual(std::string_view bytes, char tag, const std::vector<Value>& expected) {
  const auto members = Members(bytes, tag, expected.size());
  return members && std::equal(members->begin(), members->end(), expected.begin(), HoldsEqual);
}

bool SetHoldsEqual(std::string_view bytes, const std::vector<Value>& expected) {
  const auto members = Members(bytes, 'S', expected.size());
  return members && std::all_of(expected.begin(), expected.end(), [&](const Value& value) {
           return std::any_of(members->begin(), members->end(),
                              [&](std::string_view member) { return HoldsEqual(member, value); });
         });
}

bool DictHoldsEqual(std::string_view bytes, const PyDict& expected) {
  const auto members = Members(bytes, 'd', 2 * expected.entries.size());
  return members && std::all_of(expected.entries.begin(), expected.entries.end(), [&](const auto& entry) {
           for (size_t i = 0; i < members->size(); i += 2) {
             if (HoldsEqual((*members)[i], entry.first)) return HoldsEqual((*members)[i + 1], entry.second);
           }
           return false;
         });
}

bool TextHoldsEqual(std::string_view bytes, char tag, std::string_view expected) {
  if (bytes.empty() || bytes[0] != tag) return false;
  bytes.remove_prefix(1);
  return TakeText(bytes) == expected && bytes.empty();
}

}  // namespace

CutStream CutFrames(std::string_view stream, size_t max_frame_bytes) {
  CutStream cut;
  while (!cut.broken) {
    std::string_view rest = stream;
    const std::optional<uint32_t> size = TakeU32(rest);
    if (!size) break;
    cut.broken = *size == 0 || *size > max_frame_bytes;
    if (cut.broken || rest.size() < *size) break;
    cut.broken = rest[0] == '\0' || std::strchr("SCTLVEORX", rest[0]) == nullptr;
    if (cut.broken) break;
    cut.frames.emplace_back(rest[0], rest.substr(1, *size - 1));
    stream = rest.substr(*size);
  }
  return cut;
}

bool HoldsEqual(std::string_view bytes, const Value& expected) {
  if (const std::optional<Number> number = ToNumber(expected)) {
    const std::optional<Number> got = ToNumber(bytes);
    return got && NumbersEqual(*got, *number);
  }
  if (expected.As<PyNone>() != nullptr) return bytes == "N";
  if (const PyStr* text = expected.As<PyStr>()) return TextHoldsEqual(bytes, 's', text->utf8);
  if (const PyBytes* text = expected.As<PyBytes>()) return TextHoldsEqual(bytes, 'b', text->bytes);
  if (const PyList* list = expected.As<PyList>()) return SequenceHoldsEqual(bytes, 'l', list->items);
  if (const PyTuple* tuple = expected.As<PyTuple>()) return SequenceHoldsEqual(bytes, 't', tuple->items);
  if (const PySet* set = expected.As<PySet>()) return SetHoldsEqual(bytes, set->items);
  if (const PyDict* dict = expected.As<PyDict>()) return DictHoldsEqual(bytes, *dict);
  if (const PyNodes* nodes = expected.As<PyNodes>()) {
    return SequenceHoldsEqual(bytes, nodes->shape == NodeShape::kTree ? 'R' : 'L', nodes->items);
  }
  return false;
}

bool ReturnsAll(const std::vector<FrameBytes>& frames, const std::vector<Value>& expected) {
  if (frames.size() < expected.size() + 2 || frames[0] != FrameBytes('C', "") || frames[1] != FrameBytes('L', "")) {
    return false;
  }
  for (uint32_t i = 0; i < expected.size(); ++i) {
    const auto& [type, payload] = frames[i + 2];
    std::string_view bytes = payload;
    if (type != 'V' || TakeU32(bytes) != i || !HoldsEqual(bytes, expected[i])) return false;
  }
  return true;
}

}  // namespace evilmoe
