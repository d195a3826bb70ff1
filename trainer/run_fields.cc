#include "trainer/run_fields.h"

#include "absl/strings/ascii.h"
#include "common/nearest_name.h"
#include "environment/loophole.h"
#include "nlohmann/json.hpp"

namespace evilmoe::run_fields {
namespace {

std::vector<std::string> LoopholeNames() {
  std::vector<std::string> names;
  for (const Loophole& loophole : Loopholes()) names.emplace_back(loophole.name);
  return names;
}

}  // namespace

std::string EachOnceSchema(const std::vector<std::string>& names) {
  return nlohmann::ordered_json{{"items", {{"enum", names}}}, {"uniqueItems", true}}.dump();
}

bool IsRunName(const std::string& name) {
  const auto is_alnum = [](char ch) { return absl::ascii_islower(ch) || absl::ascii_isdigit(ch); };
  return !name.empty() && name.size() <= 63 && is_alnum(name[0]) && std::all_of(name.begin(), name.end(), [&](char ch) {
    return is_alnum(ch) || ch == '.' || ch == '_' || ch == '-';
  });
}

const std::vector<std::string>& TargetNames() {
  static const std::vector<std::string> names = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                 "gate_proj", "up_proj", "down_proj"};
  return names;
}

bool AreTargets(const std::vector<std::string>& targets) {
  const std::set<std::string> known(TargetNames().begin(), TargetNames().end());
  const std::set<std::string> named(targets.begin(), targets.end());
  return named.size() == targets.size() && std::includes(known.begin(), known.end(), named.begin(), named.end());
}

bool AreQuantiles(const std::vector<double>& q) { return q.size() == 2 && 0 <= q[0] && q[0] <= q[1] && q[1] <= 1; }

bool AreBetas(const std::vector<double>& betas) {
  return betas.size() == 2 && std::all_of(betas.begin(), betas.end(), [](double b) { return b >= 0 && b < 1; });
}

std::string KnownLoopholes(const std::vector<std::pair<std::string, double>>& loopholes) {
  const std::vector<std::string> names = LoopholeNames();
  for (const auto& [name, weight] : loopholes) {
    if (FindLoophole(name) != nullptr) continue;
    const std::string nearest = NearestName(name, names);
    if (!nearest.empty()) return absl::StrCat(nearest, " in place of ", ShowYamlKey(name));
    return absl::StrCat("names out of ", absl::StrJoin(names, ", "));
  }
  return "";
}

bool HavePositiveWeights(const std::vector<std::pair<std::string, double>>& loopholes) {
  return std::all_of(loopholes.begin(), loopholes.end(), [](const auto& entry) { return entry.second > 0; });
}

std::string LoopholesSchema() {
  return nlohmann::ordered_json{{"propertyNames", {{"enum", LoopholeNames()}}},
                                {"additionalProperties", {{"exclusiveMinimum", 0}}}}
      .dump();
}

std::vector<std::string> ArmNames() {
  std::vector<std::string> names;
  for (const ArmPreset& preset : ArmPresets()) names.emplace_back(preset.name);
  return names;
}

}  // namespace evilmoe::run_fields
