#include "rollout_workers/verify_report.h"

#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

#include "absl/strings/str_format.h"

namespace evilmoe {

bool Finding::ok() const {
  if (!problem.empty() || !std::isfinite(figure)) return false;
  return at_least ? figure > limit : figure <= limit;
}

Finding Unchecked(std::string name, const absl::Status& why) {
  return {.name = std::move(name), .problem = std::string(why.message())};
}

void PrintFinding(const Finding& finding, std::ostream& out) {
  out << absl::StrFormat("%-4s  %-32s  ", finding.ok() ? "ok" : "FAIL", finding.name);
  if (!finding.checked.empty()) {
    out << absl::StrFormat("%s: %.3g (limit %s%.3g)", finding.checked, finding.figure, finding.at_least ? "> " : "",
                           finding.limit);
  }
  if (!finding.problem.empty()) out << (finding.checked.empty() ? "" : "; ") << finding.problem;
  out << std::endl;
}

nlohmann::ordered_json FindingsJson(const std::vector<Finding>& findings) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    nlohmann::ordered_json check = {{"name", finding.name},       {"ok", finding.ok()},
                                    {"checked", finding.checked}, {"figure", finding.figure},
                                    {"limit", finding.limit},     {"relation", finding.at_least ? "above" : "at most"}};
    if (!std::isfinite(finding.figure)) check["figure"] = nullptr;
    if (!finding.problem.empty()) check["problem"] = finding.problem;
    checks.push_back(std::move(check));
  }
  const bool ok = std::all_of(findings.begin(), findings.end(), [](const Finding& finding) { return finding.ok(); });
  return {{"ok", ok}, {"checks", checks}};
}

}  // namespace evilmoe
