#pragma once

#include <cstdint>
#include <string>

#include "nlohmann/json.hpp"

namespace evilmoe {

// One thing that happened in a run; proto RunEvent has the meaning.
struct RunEventView {
  int64_t seq = 0;
  int64_t unix_ms = 0;
  std::string kind;
  nlohmann::json payload;  // null when it was no JSON
};

}  // namespace evilmoe
