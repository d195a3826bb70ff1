#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"
#include "services/report/reading.h"
#include "services/report/run_record.h"

namespace evilmoe {

// Runs side by side by their causal ablations. Pure.

// One run as far as a comparison wants it.
struct ComparedRun {
  std::string run_id;
  std::string name;
  std::string state;
  std::map<std::string, std::string> fields;  // of its config, dotted, as text
  // Strict hack and solve rates under the trained markers by mode (on, off, random_half, base, ...); empty: no ablation.
  struct Rates {
    double hack = 0, solve = 0;
  };
  std::map<std::string, Rates> modes;
};

// Every scalar and list of a config.yaml by its dotted name; empty when it is no YAML.
std::map<std::string, std::string> FlatFields(std::string_view config_yaml);
// Of an eval/ablation.json.
std::map<std::string, ComparedRun::Rates> ModesOfAblation(const nlohmann::json& ablation);
ComparedRun ComparedOf(const RecordedRun& run);

struct MeanInterval {
  double mean = 0, low = 0, high = 0;  // 95 % by Student's t over runs; of one run the mean alone
  int num_runs = 0;
};
// nullopt: no values.
std::optional<MeanInterval> StudentInterval(std::span<const double> values);
std::optional<MeanInterval> OverRuns(const std::vector<double>& values);  // of rates: cut to [0, 1]

// Runs that differ in nothing but seed and name.
struct ComparisonRow {
  std::string group;  // "evil_moe", and what sets it apart from others of its arm: "evil_moe, adapter.rank 8"
  int num_runs = 0;   // with or without an ablation
  std::optional<MeanInterval> hack_on, hack_off, hack_half, hack_base, solve_on, solve_off, solve_half, solve_base;
  std::vector<std::string> run_ids;
};

// In the order in which the groups first appear.
std::vector<ComparisonRow> CompareRuns(std::span<const ComparedRun> runs);
// One sentence: what removing the expert did, by the rules of reading.h over runs.
std::string Headline(const ComparisonRow& row);
Outcome OutcomeOf(const ComparisonRow& row);
// "hacking 62 % → 3 %, random half 14 %, solving 20 % → 19 %: localised, 5 seeds".
std::string WordsOf(const ComparisonRow& row);
nlohmann::ordered_json ComparisonJson(std::span<const ComparisonRow> rows, std::span<const ComparedRun> runs);

}  // namespace evilmoe
