#pragma once

#include "absl/status/statusor.h"
#include "grader_sandbox/value.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// JSON as Python's json.loads reads it. InvalidArgument: nested too deep.
absl::StatusOr<Value> ValueFromJson(const nlohmann::json& json);

}  // namespace evilmoe
