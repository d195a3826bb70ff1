#include "grader_sandbox/json_value.h"

#include "common/status_macros.h"
#include "grader_sandbox/literal_parser.h"

namespace evilmoe {
namespace {

absl::StatusOr<Value> Convert(const nlohmann::json& json, int depth) {
  if (depth > kMaxValueDepth) return absl::InvalidArgumentError("JSON: nested too deep");
  if (json.is_null()) return Value(PyNone{});
  if (json.is_boolean()) return Value(json.get<bool>());
  if (json.is_number_integer()) return ParseLiteral(json.dump());  // also what only fits an unsigned number
  if (json.is_number_float()) return Value(json.get<double>());
  if (json.is_string()) return Value(PyStr{json.get<std::string>()});
  if (json.is_array()) {
    PyList list;
    for (const nlohmann::json& item : json) {
      EVILMOE_ASSIGN_OR_RETURN(Value value, Convert(item, depth + 1));
      list.items.push_back(std::move(value));
    }
    return Value(std::move(list));
  }
  PyDict dict;
  for (const auto& [key, item] : json.items()) {
    EVILMOE_ASSIGN_OR_RETURN(Value value, Convert(item, depth + 1));
    dict.entries.emplace_back(Value(PyStr{key}), std::move(value));
  }
  return Value(std::move(dict));
}

}  // namespace

absl::StatusOr<Value> ValueFromJson(const nlohmann::json& json) { return Convert(json, 0); }

}  // namespace evilmoe
