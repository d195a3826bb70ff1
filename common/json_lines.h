#pragma once

#include <cstdint>
#include <iosfwd>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// What the offline verbs share of reading and writing JSON lines. Bad UTF-8 in a text becomes U+FFFD on the way out.

// InvalidArgument: the line is no JSON object, or nests too deep.
absl::StatusOr<nlohmann::json> ParseJsonLine(const std::string& line);
// A list of token ids below `vocab_size`. InvalidArgument: not that.
absl::StatusOr<std::vector<int32_t>> ReadIds(const nlohmann::json& line, const char* name, int64_t vocab_size);
void WriteJsonLine(const nlohmann::json& value, std::ostream& out);
// The answer to a bad line: {"line": number, "error": text}.
nlohmann::json LineError(int64_t number, const absl::Status& status);

}  // namespace evilmoe
