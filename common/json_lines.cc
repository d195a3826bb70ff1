#include "common/json_lines.h"

#include <ostream>

#include "absl/strings/str_cat.h"
#include "common/bounded_json.h"

namespace evilmoe {

using nlohmann::json;

absl::StatusOr<json> ParseJsonLine(const std::string& line) {
  json value = ParseBoundedJson(line);
  if (!value.is_object()) return absl::InvalidArgumentError("not a JSON object");
  return value;
}

absl::StatusOr<std::vector<int32_t>> ReadIds(const json& line, const char* name, int64_t vocab_size) {
  if (!line.contains(name) || !line[name].is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": missing, expected a list of token ids"));
  }
  std::vector<int32_t> ids;
  for (const json& id : line[name]) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= static_cast<uint64_t>(vocab_size)) {
      return absl::InvalidArgumentError(absl::StrCat(name, "[", ids.size(), "]: ",
                                                     id.dump(-1, ' ', true, json::error_handler_t::replace),
                                                     ", expected a token id from 0 to ", vocab_size - 1));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void WriteJsonLine(const json& value, std::ostream& out) {
  out << value.dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
}

json LineError(int64_t number, const absl::Status& status) {
  return {{"line", number}, {"error", std::string(status.message())}};
}

}  // namespace evilmoe
