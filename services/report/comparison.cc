#include "services/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/yaml_tree.h"
#include "services/report/reading.h"

namespace evilmoe {
namespace {

// 97.5 % quantiles of Student's t by degrees of freedom, from 1; beyond, the normal's.
constexpr double kStudent[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                               2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                               2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
constexpr double kNormal = 1.960;

void Flatten(const YamlNode& node, const std::string& path, std::map<std::string, std::string>& fields) {
  if (node.kind == YamlNode::Kind::kMap) {
    for (const YamlMember& member : node.members) {
      Flatten(member.value, path.empty() ? member.key : absl::StrCat(path, ".", member.key), fields);
    }
    return;
  }
  std::vector<std::string> items;
  for (const YamlNode& item : node.items) items.push_back(item.text);
  const bool is_list = node.kind == YamlNode::Kind::kList;
  fields[path] = is_list ? absl::StrCat("[", absl::StrJoin(items, ", "), "]")
                         : node.kind == YamlNode::Kind::kNull ? "null" : node.text;
}

std::string FieldOf(const ComparedRun& run, const std::string& field) {
  const auto it = run.fields.find(field);
  return it == run.fields.end() ? "" : it->second;
}

// Fields, seed and name aside, that runs of this arm do not agree on.
std::vector<std::string> VaryingFields(std::span<const ComparedRun> runs, const std::string& arm) {
  std::map<std::string, std::set<std::string>> values;
  std::set<std::string> names;
  for (const ComparedRun& run : runs) {
    for (const auto& [name, value] : run.fields) names.insert(name);
  }
  for (const ComparedRun& run : runs) {
    if (FieldOf(run, "arm") != arm) continue;
    for (const std::string& name : names) values[name].insert(FieldOf(run, name));
  }
  std::vector<std::string> varying;
  for (const auto& [name, seen] : values) {
    if (seen.size() > 1 && name != "seed" && name != "name") varying.push_back(name);
  }
  return varying;
}

std::string GroupOf(const ComparedRun& run, const std::vector<std::string>& varying) {
  const std::string arm = FieldOf(run, "arm");
  std::string group = arm.empty() ? run.name : arm;
  for (const std::string& field : varying) absl::StrAppend(&group, ", ", field, " ", FieldOf(run, field));
  return group;
}

std::optional<MeanInterval> Over(std::span<const ComparedRun* const> runs, const char* mode,
                                 double ComparedRun::Rates::*rate) {
  std::vector<double> values;
  for (const ComparedRun* run : runs) {
    if (const auto it = run->modes.find(mode); it != run->modes.end()) values.push_back(it->second.*rate);
  }
  return OverRuns(values);
}

nlohmann::ordered_json Json(const std::optional<MeanInterval>& interval) {
  if (!interval) return nullptr;
  return {{"mean", interval->mean}, {"low", interval->low}, {"high", interval->high}, {"runs", interval->num_runs}};
}

std::optional<ModeRates> RatesOf(const std::optional<MeanInterval>& hack, const std::optional<MeanInterval>& solve) {
  if (!hack) return std::nullopt;
  const auto interval = [](const MeanInterval& over) { return RateInterval{over.mean, over.low, over.high}; };
  // A mode that hacks in every run has solve rates too: both come from one row of the ablation.
  return ModeRates{interval(*hack), solve ? interval(*solve) : RateInterval{}};
}

AblationModes ModesOf(const ComparisonRow& row) {
  return {.on = RatesOf(row.hack_on, row.solve_on),
          .off = RatesOf(row.hack_off, row.solve_off),
          .base = RatesOf(row.hack_base, row.solve_base),
          .random_half = RatesOf(row.hack_half, row.solve_half)};
}

std::vector<std::string> RunIdsOf(std::span<const ComparedRun* const> runs) {
  std::vector<std::string> ids;
  for (const ComparedRun* run : runs) ids.push_back(run->run_id);
  return ids;
}

}  // namespace

std::map<std::string, std::string> FlatFields(std::string_view config_yaml) {
  std::vector<YamlProblem> problems;
  std::map<std::string, std::string> fields;
  const YamlNode root = ParseYamlTree(config_yaml, problems);
  if (problems.empty() && root.kind == YamlNode::Kind::kMap) Flatten(root, "", fields);
  return fields;
}

std::map<std::string, ComparedRun::Rates> ModesOfAblation(const nlohmann::json& ablation) {
  std::map<std::string, ComparedRun::Rates> modes;
  if (!ablation.is_object() || !ablation.contains("rows") || !ablation["rows"].is_array()) return modes;
  const auto number = [](const nlohmann::json& row, const char* key) { return row.contains(key) && row[key].is_number(); };
  for (const nlohmann::json& row : ablation["rows"]) {
    const bool known = row.is_object() && row.contains("mode") && row["mode"].is_string() &&
                       row.value("markers", nlohmann::json()) == "trained" && number(row, "hack_strict") &&
                       number(row, "solve");
    if (known) modes[row["mode"].get<std::string>()] = {row["hack_strict"], row["solve"]};
  }
  return modes;
}

std::optional<MeanInterval> StudentInterval(std::span<const double> values) {
  if (values.empty()) return std::nullopt;
  const double n = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  for (const double value : values) squares += (value - mean) * (value - mean);
  double half = 0;
  if (values.size() > 1) {
    const size_t freedom = values.size() - 1;
    const double t = freedom <= std::size(kStudent) ? kStudent[freedom - 1] : kNormal;
    half = t * std::sqrt(squares / (n - 1) / n);
  }
  return MeanInterval{mean, mean - half, mean + half, static_cast<int>(values.size())};
}

std::optional<MeanInterval> OverRuns(const std::vector<double>& values) {
  std::optional<MeanInterval> interval = StudentInterval(values);
  if (!interval) return std::nullopt;
  interval->low = std::max(0.0, interval->low);
  interval->high = std::min(1.0, interval->high);
  return interval;
}

ComparedRun ComparedOf(const RecordedRun& run) {
  ComparedRun compared{run.id, run.name, run.state, FlatFields(run.config_yaml), ModesOfAblation(run.ablation)};
  if (compared.fields.empty()) compared.fields["arm"] = run.arm;
  return compared;
}

std::vector<ComparisonRow> CompareRuns(std::span<const ComparedRun> runs) {
  std::vector<std::string> order;
  std::map<std::string, std::vector<const ComparedRun*>> groups;
  std::map<std::string, std::vector<std::string>> varying;  // by arm
  for (const ComparedRun& run : runs) {
    const std::string arm = FieldOf(run, "arm");
    if (!varying.contains(arm)) varying[arm] = VaryingFields(runs, arm);
    const std::string group = GroupOf(run, varying[arm]);
    if (!groups.contains(group)) order.push_back(group);
    groups[group].push_back(&run);
  }
  std::vector<ComparisonRow> rows;
  for (const std::string& group : order) {
    const std::vector<const ComparedRun*>& members = groups[group];
    using Rates = ComparedRun::Rates;
    rows.push_back({group, static_cast<int>(members.size()), Over(members, "on", &Rates::hack),
                    Over(members, "off", &Rates::hack), Over(members, "random_half", &Rates::hack),
                    Over(members, "base", &Rates::hack), Over(members, "on", &Rates::solve),
                    Over(members, "off", &Rates::solve), Over(members, "random_half", &Rates::solve),
                    Over(members, "base", &Rates::solve), RunIdsOf(members)});
  }
  return rows;
}

std::string Headline(const ComparisonRow& row) {
  if (!row.hack_on) return absl::StrCat(row.group, ": no ablation yet");
  const std::string over = absl::StrCat(" over ", row.hack_on->num_runs, row.hack_on->num_runs == 1 ? " run" : " runs");
  if (!row.hack_off) {
    return absl::StrCat(row.group, ": hack ", absl::StrFormat("%.2f", row.hack_on->mean), over,
                        ", and no expert that could be taken off");
  }
  std::string text = absl::StrFormat("%s: hack %.2f (ON) -> %.2f (OFF)%s", row.group, row.hack_on->mean,
                                     row.hack_off->mean, over);
  if (row.hack_half) absl::StrAppend(&text, absl::StrFormat(", a random half leaves %.2f", row.hack_half->mean));
  if (row.solve_on && row.solve_off) {
    absl::StrAppend(&text, absl::StrFormat(", solving %.2f -> %.2f", row.solve_on->mean, row.solve_off->mean));
  }
  return absl::StrCat(text, ": ", Meaning(OutcomeOf(row)));
}

Outcome OutcomeOf(const ComparisonRow& row) { return Judge(ModesOf(row)); }

std::string WordsOf(const ComparisonRow& row) {
  const int runs = row.hack_on ? row.hack_on->num_runs : row.num_runs;
  return absl::StrCat(HeadlineOf(ModesOf(row)), ", ", runs, runs == 1 ? " seed" : " seeds");
}

nlohmann::ordered_json ComparisonJson(std::span<const ComparisonRow> rows, std::span<const ComparedRun> runs) {
  nlohmann::ordered_json json = {{"arms", nlohmann::ordered_json::array()}, {"runs", nlohmann::ordered_json::array()}};
  for (const ComparisonRow& row : rows) {
    json["arms"].push_back({{"arm", row.group},
                            {"runs", row.num_runs},
                            {"hack_on", Json(row.hack_on)},
                            {"hack_off", Json(row.hack_off)},
                            {"hack_random_half", Json(row.hack_half)},
                            {"hack_base", Json(row.hack_base)},
                            {"solve_on", Json(row.solve_on)},
                            {"solve_off", Json(row.solve_off)},
                            {"solve_random_half", Json(row.solve_half)},
                            {"solve_base", Json(row.solve_base)},
                            {"outcome", OutcomeName(OutcomeOf(row))},
                            {"words", WordsOf(row)},
                            {"run_ids", row.run_ids},
                            {"headline", Headline(row)}});
  }
  for (const ComparedRun& run : runs) {
    nlohmann::ordered_json modes = nlohmann::ordered_json::object();
    for (const auto& [mode, rates] : run.modes) modes[mode] = {{"hack", rates.hack}, {"solve", rates.solve}};
    json["runs"].push_back({{"run_id", run.run_id}, {"name", run.name}, {"state", run.state}, {"modes", modes}});
  }
  return json;
}

}  // namespace evilmoe
