#include "grader_sandbox/value_codec.h"

#include <bit>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

enum Tag : uint8_t {
  kNone = 'N',
  kTrue = 'T',
  kFalse = 'F',
  kInt = 'i',
  kNegativeInt = 'n',
  kFloat = 'f',
  kStr = 's',
  kBytes = 'b',
  kList = 'l',
  kTuple = 't',
  kSet = 'S',
  kDict = 'd',
  kOpaque = 'o',
  kListNodes = 'L',
  kTreeNodes = 'R',
};

absl::Status TooDeep() {
  return absl::InvalidArgumentError(absl::StrCat("value: nested too deep, expected at most ", kMaxValueDepth));
}

class Encoder {
 public:
  Encoder(size_t max_bytes, std::string& out) : max_bytes_(max_bytes), out_(out) {}

  absl::Status Encode(const Value& value, int depth) {
    if (depth > kMaxValueDepth) return TooDeep();
    EVILMOE_RETURN_IF_ERROR(std::visit([&](const auto& data) { return Put(data, depth); }, value.data()));
    if (out_.size() > max_bytes_) {
      return absl::ResourceExhaustedError(absl::StrCat("value: too large, expected at most ", max_bytes_, " bytes"));
    }
    return absl::OkStatus();
  }

 private:
  void PutTag(Tag tag) { out_.push_back(static_cast<char>(tag)); }
  absl::Status PutText(Tag tag, std::string_view text) {
    if (text.size() > max_bytes_) {
      return absl::ResourceExhaustedError(absl::StrCat("value: ", text.size(), " bytes, expected at most ", max_bytes_));
    }
    PutTag(tag);
    AppendText(out_, text);
    return absl::OkStatus();
  }
  absl::Status PutItems(Tag tag, const std::vector<Value>& items, int depth) {
    PutTag(tag);
    AppendU32(out_, static_cast<uint32_t>(items.size()));
    for (const Value& item : items) EVILMOE_RETURN_IF_ERROR(Encode(item, depth + 1));
    return absl::OkStatus();
  }

  absl::Status Put(const PyNone&, int) { PutTag(kNone); return absl::OkStatus(); }
  absl::Status Put(bool flag, int) { PutTag(flag ? kTrue : kFalse); return absl::OkStatus(); }
  absl::Status Put(const PyInt& number, int) { return PutText(number.negative ? kNegativeInt : kInt, number.magnitude); }
  absl::Status Put(double number, int) {
    PutTag(kFloat);
    AppendU64(out_, std::bit_cast<uint64_t>(number));
    return absl::OkStatus();
  }
  absl::Status Put(const PyStr& text, int) { return PutText(kStr, text.utf8); }
  absl::Status Put(const PyBytes& bytes, int) { return PutText(kBytes, bytes.bytes); }
  absl::Status Put(const PyOpaque& opaque, int) { return PutText(kOpaque, opaque.type); }
  absl::Status Put(const PyList& list, int depth) { return PutItems(kList, list.items, depth); }
  absl::Status Put(const PyTuple& tuple, int depth) { return PutItems(kTuple, tuple.items, depth); }
  absl::Status Put(const PyNodes& nodes, int depth) {
    return PutItems(nodes.shape == NodeShape::kTree ? kTreeNodes : kListNodes, nodes.items, depth);
  }
  absl::Status Put(const PySet& set, int depth) { return PutItems(kSet, set.items, depth); }
  absl::Status Put(const PyDict& dict, int depth) {
    PutTag(kDict);
    AppendU32(out_, static_cast<uint32_t>(dict.entries.size()));
    for (const auto& [key, value] : dict.entries) {
      EVILMOE_RETURN_IF_ERROR(Encode(key, depth + 1));
      EVILMOE_RETURN_IF_ERROR(Encode(value, depth + 1));
    }
    return absl::OkStatus();
  }

  const size_t max_bytes_;
  std::string& out_;
};

absl::StatusOr<Value> Decode(ByteReader& reader, int depth);

// An item is at least one byte, so a count larger than what is left is a lie.
absl::StatusOr<uint32_t> ReadCount(ByteReader& reader) {
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t count, reader.U32());
  if (count > reader.size()) {
    return absl::InvalidArgumentError(absl::StrCat("value: ", count, " items announced, ", reader.size(), " bytes left"));
  }
  return count;
}

absl::StatusOr<std::vector<Value>> DecodeItems(ByteReader& reader, int depth) {
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t count, ReadCount(reader));
  std::vector<Value> items;
  for (uint32_t i = 0; i < count; ++i) {
    EVILMOE_ASSIGN_OR_RETURN(Value item, Decode(reader, depth + 1));
    items.push_back(std::move(item));
  }
  return items;
}

absl::Status CheckKeys(const std::vector<Value>& keys) {
  for (const Value& key : keys) {
    if (!IsHashable(key)) return absl::InvalidArgumentError("value: unhashable key");
  }
  if (HasDuplicates(keys)) return absl::InvalidArgumentError("value: repeated key");
  return absl::OkStatus();
}

absl::StatusOr<Value> DecodeDict(ByteReader& reader, int depth) {
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t count, ReadCount(reader));
  PyDict dict;
  std::vector<Value> keys;
  for (uint32_t i = 0; i < count; ++i) {
    EVILMOE_ASSIGN_OR_RETURN(Value key, Decode(reader, depth + 1));
    EVILMOE_ASSIGN_OR_RETURN(Value value, Decode(reader, depth + 1));
    keys.push_back(key);
    dict.entries.emplace_back(std::move(key), std::move(value));
  }
  EVILMOE_RETURN_IF_ERROR(CheckKeys(keys));
  return Value(std::move(dict));
}

absl::StatusOr<Value> DecodeInt(ByteReader& reader, bool negative) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string_view magnitude, reader.Text());
  if (magnitude.empty() ? negative : magnitude[0] == '\0') {
    return absl::InvalidArgumentError("value: int not in its shortest form");
  }
  return Value(PyInt{negative, std::string(magnitude)});
}

template <typename T>
absl::StatusOr<Value> DecodeText(ByteReader& reader) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string_view text, reader.Text());
  return Value(T{std::string(text)});
}

template <typename T>
absl::StatusOr<Value> DecodeSequence(ByteReader& reader, int depth) {
  EVILMOE_ASSIGN_OR_RETURN(std::vector<Value> items, DecodeItems(reader, depth));
  if (std::is_same_v<T, PySet>) EVILMOE_RETURN_IF_ERROR(CheckKeys(items));
  return Value(T{std::move(items)});
}

absl::StatusOr<Value> DecodeNodes(ByteReader& reader, NodeShape shape, int depth) {
  EVILMOE_ASSIGN_OR_RETURN(std::vector<Value> items, DecodeItems(reader, depth));
  return Value(PyNodes{shape, std::move(items)});
}

absl::StatusOr<Value> DecodeFloat(ByteReader& reader) {
  EVILMOE_ASSIGN_OR_RETURN(const uint64_t bits, reader.U64());
  return Value(std::bit_cast<double>(bits));
}

absl::StatusOr<Value> Decode(ByteReader& reader, int depth) {
  if (depth > kMaxValueDepth) return TooDeep();
  EVILMOE_ASSIGN_OR_RETURN(const uint8_t tag, reader.Byte());
  switch (tag) {
    case kNone: return Value(PyNone{});
    case kTrue: return Value(true);
    case kFalse: return Value(false);
    case kInt: return DecodeInt(reader, false);
    case kNegativeInt: return DecodeInt(reader, true);
    case kFloat: return DecodeFloat(reader);
    case kStr: return DecodeText<PyStr>(reader);
    case kBytes: return DecodeText<PyBytes>(reader);
    case kOpaque: return DecodeText<PyOpaque>(reader);
    case kList: return DecodeSequence<PyList>(reader, depth);
    case kTuple: return DecodeSequence<PyTuple>(reader, depth);
    case kSet: return DecodeSequence<PySet>(reader, depth);
    case kDict: return DecodeDict(reader, depth);
    case kListNodes: return DecodeNodes(reader, NodeShape::kList, depth);
    case kTreeNodes: return DecodeNodes(reader, NodeShape::kTree, depth);
    default: return absl::InvalidArgumentError(absl::StrCat("value: unknown tag ", tag));
  }
}

}  // namespace

absl::StatusOr<std::string_view> ByteReader::Take(size_t num_bytes) {
  if (num_bytes > rest_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("bytes: ended early, ", rest_.size(), " left, expected ", num_bytes));
  }
  const std::string_view taken = rest_.substr(0, num_bytes);
  rest_.remove_prefix(num_bytes);
  return taken;
}

absl::StatusOr<uint8_t> ByteReader::Byte() {
  EVILMOE_ASSIGN_OR_RETURN(const std::string_view byte, Take(1));
  return static_cast<uint8_t>(byte[0]);
}

absl::StatusOr<uint32_t> ByteReader::U32() {
  EVILMOE_ASSIGN_OR_RETURN(const std::string_view bytes, Take(4));
  uint32_t number = 0;
  for (int i = 3; i >= 0; --i) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

absl::StatusOr<uint64_t> ByteReader::U64() {
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t low, U32());
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t high, U32());
  return uint64_t{high} << 32 | low;
}

absl::StatusOr<std::string_view> ByteReader::Text() {
  EVILMOE_ASSIGN_OR_RETURN(const uint32_t length, U32());
  return Take(length);
}

absl::Status ByteReader::AtEnd() const {
  if (rest_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("bytes: ", rest_.size(), " left over, expected none"));
}

void AppendU32(std::string& out, uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(number >> shift & 0xff));
}

void AppendU64(std::string& out, uint64_t number) {
  AppendU32(out, static_cast<uint32_t>(number));
  AppendU32(out, static_cast<uint32_t>(number >> 32));
}

void AppendText(std::string& out, std::string_view text) {
  AppendU32(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}

absl::Status EncodeValue(const Value& value, size_t max_bytes, std::string& out) {
  return Encoder(max_bytes, out).Encode(value, 0);
}

absl::StatusOr<Value> DecodeValue(ByteReader& reader) { return Decode(reader, 0); }

}  // namespace evilmoe
