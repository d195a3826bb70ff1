#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

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
std::map<std::string, ComparedRun::Rates> AblationModes(const nlohmann::json& ablation);

struct MeanInterval {
  double mean = 0, low = 0, high = 0;  // 95 % by Student's t over runs, cut to [0, 1]; of one run the mean alone
  int num_runs = 0;
};
std::optional<MeanInterval> OverRuns(const std::vector<double>& values);

// Runs that differ in nothing but seed and name.
struct ComparisonRow {
  std::string group;  // "evil_moe", and what sets it apart from others of its arm: "evil_moe, adapter.rank 8"
  int num_runs = 0;   // with or without an ablation
  std::optional<MeanInterval> hack_on, hack_off, hack_half, hack_base, solve_on, solve_off;
};

// In the order in which the groups first appear.
std::vector<ComparisonRow> CompareRuns(std::span<const ComparedRun> runs);
std::string ComparisonTable(std::span<const ComparisonRow> rows);
// One sentence: what removing the expert did, by the rules of the report (services/report/reading.h) over runs.
std::string Headline(const ComparisonRow& row);
nlohmann::ordered_json ComparisonJson(std::span<const ComparisonRow> rows, std::span<const ComparedRun> runs);

}  // namespace evilmoe
