#include "grader_sandbox/held_setups.h"

#include <algorithm>
#include <map>
#include <utility>

namespace evilmoe {

std::vector<std::string> SetupsToHold(std::span<const Problem> problems) {
  std::map<std::string, int> counts;
  for (const Problem& problem : problems) {
    const std::string& setup = problem.setup_code;
    if (!setup.empty() && setup.size() <= kMaxHeldSetupBytes) counts[setup] += 1;
  }
  std::vector<std::pair<std::string, int>> common(counts.begin(), counts.end());
  std::ranges::stable_sort(common, [](const auto& a, const auto& b) { return a.second > b.second; });
  common.resize(std::min(common.size(), kMaxHeldSetups));
  std::vector<std::string> setups;
  for (auto& [setup, count] : common) setups.push_back(std::move(setup));
  std::ranges::sort(setups);
  return setups;
}

}  // namespace evilmoe
