#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace evilmoe {

// PostgreSQL's `text` takes neither NUL nor bytes that are not UTF-8; this project's text may hold both where a client
// sent them. Such a byte is stored as the control character 1A (SUB) and two hex digits, and so is each 1A of the text
// itself; other text is stored as it is. FromPostgresText(ToPostgresText(t)) == t for any bytes.
std::string ToPostgresText(std::string_view text);
std::string FromPostgresText(std::string_view stored);

// Bytes that are sent as a bytea.
struct PostgresBytes {
  std::string_view bytes;
};

// The values of $1, $2, ... of a statement, in PostgreSQL's binary format.
struct PostgresParameters {
  std::vector<std::string> values;
  size_t largest_bytes = 0;  // of one value, or one element of an array
};

// One array of each column of some rows: a statement takes them as $1::bigint[], $2::text[], ... and gives them to
// unnest(). Integers (and enums and bools) become bigint, text becomes text, PostgresBytes bytea.
class PostgresRows {
 public:
  // The same types in each call.
  template <typename... Values>
  void Add(const Values&... values) {
    columns_.resize(sizeof...(Values));
    size_t at = 0;
    (AddOne(columns_[at++], values), ...);
    ++num_rows_;
  }
  size_t num_rows() const { return num_rows_; }
  size_t num_bytes() const { return num_bytes_; }
  // Leaves no rows.
  PostgresParameters Take();

 private:
  struct Column {
    uint32_t type = 0;
    std::string elements;
  };
  template <typename T>
  void AddOne(Column& column, const T& value) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      AddInteger(column, static_cast<int64_t>(value));
    } else if constexpr (std::is_same_v<T, PostgresBytes>) {
      AddBytes(column, value.bytes);
    } else {
      AddText(column, value);
    }
  }
  void AddInteger(Column& column, int64_t value);
  void AddText(Column& column, std::string_view text);
  void AddBytes(Column& column, std::string_view bytes);
  void AddElement(Column& column, uint32_t type, std::string_view bytes);

  std::vector<Column> columns_;
  size_t num_rows_ = 0;
  size_t num_bytes_ = 0;
  size_t largest_bytes_ = 0;
};

// A number as PostgreSQL sends it (bool, int, bigint), in big-endian order.
int64_t ReadPostgresInteger(std::string_view bytes);
std::string WritePostgresInteger(int64_t value);

// Single values: $1::bigint, $2::text.
template <typename... Values>
PostgresParameters PostgresScalars(const Values&... values) {
  PostgresParameters parameters;
  const auto add = [&](const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      parameters.values.push_back(WritePostgresInteger(static_cast<int64_t>(value)));
    } else {
      parameters.values.push_back(ToPostgresText(value));
    }
  };
  (add(values), ...);
  return parameters;
}

}  // namespace evilmoe
