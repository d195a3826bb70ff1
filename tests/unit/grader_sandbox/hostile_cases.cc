#include "tests/unit/grader_sandbox/hostile_cases.h"

#include <algorithm>

namespace evilmoe {

const std::vector<HostileCase>& HostileCases() {
  static const auto* cases =
      new std::vector<HostileCase>(Joined({SourceCases(), ForgeryCases(), ValueCases(), ResourceCases(), SystemCases(),
                                           NativeCases(), AttackCases(), FileCases()}));
  return *cases;
}

std::vector<HostileCase> Joined(const std::vector<std::vector<HostileCase>>& parts) {
  std::vector<HostileCase> all;
  for (const std::vector<HostileCase>& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::string Body(std::string_view lines) {
  std::string out = "class Solution:\n    def f(self, x):\n";
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    if (end > 0) out.append("        ").append(lines.substr(0, end)).append("\n");
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return out;
}

}  // namespace evilmoe
