#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// A text of one JSON object a line. What cannot be read is named, never dropped in silence.
struct JsonLines {
  struct Row {
    int line = 0;  // counts from 1
    nlohmann::json object;
  };
  std::vector<Row> rows;
  std::vector<int> bad_lines;  // no JSON object, or longer than kMaxLineBytes
};

inline constexpr size_t kMaxLineBytes = size_t{4} << 20;

// Empty lines are skipped. Never throws.
JsonLines ParseJsonLines(std::string_view text);

struct Decompressed {
  std::string bytes;
  bool complete = true;  // false: the stream breaks off; `bytes` is what came before
};

// A zstd file of one or more frames. NotFound, Unavailable; DataLoss: not zstd from the first byte on;
// ResourceExhausted: more than `max_bytes` come out.
absl::StatusOr<Decompressed> ReadZstdFile(const std::filesystem::path& path, size_t max_bytes);

}  // namespace evilmoe
