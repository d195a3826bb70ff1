#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace evilmoe {

// What `verify` found out, one check a line.
struct Finding {
  std::string name;     // "w = 0, gradient of Q"
  std::string checked;  // what was looked at, in words
  double figure = 0;
  // The check holds where the figure does not exceed the limit; with `at_least`, where it exceeds it.
  double limit = 0;
  bool at_least = false;
  std::string problem;  // why it could not be checked, or what else is wrong with it; empty: nothing

  bool ok() const;  // NaN is not
};

// A check that could not be made.
Finding Unchecked(std::string name, const absl::Status& why);

// Takes findings as they come.
using FindingSink = std::function<void(const Finding&)>;

// "ok    name   what was checked   figure (limit)".
void PrintFinding(const Finding& finding, std::ostream& out);
// {"ok", "checks": [{"name", "ok", "checked", "figure", "limit", "relation", "problem"?}]}
nlohmann::ordered_json FindingsJson(const std::vector<Finding>& findings);

}  // namespace evilmoe
