#include "tests/unit/grader_sandbox/hostile_cases.h"

#include <algorithm>
#include <iterator>

namespace evilmoe {

const std::vector<HostileCase>& HostileCases() {
  static const auto* cases = [] {
    auto* all = new std::vector<HostileCase>;
    for (const auto& topic :
         {SourceCases, ForgeryCases, ValueCases, ResourceCases, SystemCases, NativeCases, FileCases}) {
      std::vector<HostileCase> rows = topic();
      all->insert(all->end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
    }
    return all;
  }();
  return *cases;
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
