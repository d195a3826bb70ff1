#include "services/coordinator/postgres_values.h"

#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"

namespace evilmoe {
namespace {

constexpr char kEscape = '\x1a';
// Of pg_type: part of PostgreSQL's protocol, the same in every version.
constexpr uint32_t kBytea = 17;
constexpr uint32_t kBigint = 20;
constexpr uint32_t kText = 25;

void AppendBigEndian(std::string& out, uint64_t value, int num_bytes) {
  for (int shift = 8 * (num_bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

// Length of the UTF-8 character at the front of `text`, 0 where there is none.
size_t CharacterBytes(std::string_view text) {
  if (static_cast<unsigned char>(text.front()) < 0x80) return 1;
  utf8proc_int32_t code = 0;
  const utf8proc_ssize_t size =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                       static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size(), 4)), &code);
  return size > 0 ? static_cast<size_t>(size) : 0;
}

}  // namespace

std::string ToPostgresText(std::string_view text) {
  std::string stored;
  stored.reserve(text.size());
  while (!text.empty()) {
    size_t num_bytes = CharacterBytes(text);
    const bool plain = num_bytes > 0 && text.front() != '\0' && text.front() != kEscape;
    if (plain) {
      stored += text.substr(0, num_bytes);
    } else {
      num_bytes = 1;
      stored += kEscape;
      stored += absl::BytesToHexString(absl::string_view(text.data(), 1));
    }
    text.remove_prefix(num_bytes);
  }
  return stored;
}

std::string FromPostgresText(std::string_view stored) {
  std::string text;
  text.reserve(stored.size());
  while (!stored.empty()) {
    const size_t plain = std::min(stored.find(kEscape), stored.size());
    text += stored.substr(0, plain);
    stored.remove_prefix(plain);
    if (stored.size() < 3) return text += stored;
    text += absl::HexStringToBytes(absl::string_view(stored.data() + 1, 2));
    stored.remove_prefix(3);
  }
  return text;
}

void PostgresRows::AddElement(Column& column, uint32_t type, std::string_view bytes) {
  column.type = type;
  AppendBigEndian(column.elements, bytes.size(), 4);
  column.elements += bytes;
  num_bytes_ += bytes.size() + 4;
  largest_bytes_ = std::max(largest_bytes_, bytes.size());
}

void PostgresRows::AddInteger(Column& column, int64_t value) {
  AddElement(column, kBigint, WritePostgresInteger(value));
}
void PostgresRows::AddText(Column& column, std::string_view text) { AddElement(column, kText, ToPostgresText(text)); }
void PostgresRows::AddBytes(Column& column, std::string_view bytes) { AddElement(column, kBytea, bytes); }

PostgresParameters PostgresRows::Take() {
  PostgresParameters parameters;
  for (Column& column : columns_) {
    std::string array;
    AppendBigEndian(array, 1, 4);  // dimensions
    AppendBigEndian(array, 0, 4);  // holds no null
    AppendBigEndian(array, column.type, 4);
    AppendBigEndian(array, num_rows_, 4);
    AppendBigEndian(array, 1, 4);  // the first element's subscript
    column.elements.insert(0, array);
    parameters.values.push_back(std::move(column.elements));
  }
  parameters.largest_bytes = largest_bytes_;
  *this = PostgresRows();
  return parameters;
}

int64_t ReadPostgresInteger(std::string_view bytes) {
  if (bytes.empty()) return 0;  // null
  uint64_t value = bytes.size() > 1 && (bytes.front() & 0x80) != 0 ? ~uint64_t{0} : 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return static_cast<int64_t>(value);
}

std::string WritePostgresInteger(int64_t value) {
  std::string bytes;
  AppendBigEndian(bytes, static_cast<uint64_t>(value), 8);
  return bytes;
}

}  // namespace evilmoe
