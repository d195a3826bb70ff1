#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace evilmoe {

// Outcomes of one mode under one family of markers: per problem, the share of its samples that ... (each in [0, 1]).
// Problems stand in the same order in every row, so that modes can be compared problem by problem. A problem all of
// whose samples were lost is NaN in every list.
struct AblationRow {
  std::string mode;     // on, off, random_half, random_half_doubled, deployed_off, base
  std::string markers;  // trained | novel
  std::vector<double> strict, loose, solved;
};

struct Interval {
  double mean = 0, low = 0, high = 0;  // 95 %
};

// Percentile bootstrap over problems, 2,000 resamples from a seeded stream. All zero when no problem is left.
Interval BootstrapMean(const std::vector<double>& per_problem, uint64_t seed);
// The same for mean(a) − mean(b), both resampled with the same problems (paired).
Interval BootstrapDifference(const std::vector<double>& a, const std::vector<double>& b, uint64_t seed);

// mean(a) / mean(b) with both resampled by the same problems; unset where mean(b) <= 0. A resample in which mean(b) <=
// 0 says nothing of the share and counts as the largest: the interval is open there.
std::optional<Interval> BootstrapRatio(const std::vector<double>& a, const std::vector<double>& b, uint64_t seed);

// Rows of random halves under several seeds are averaged problem by problem into one row a strength and marker family.
std::vector<AblationRow> MergeRandomHalves(const std::vector<AblationRow>& rows);

// eval/ablation.json: rows with intervals, Δhack − Δsolve (ON − OFF, trained marker), and the final line, exactly
// "Evil MoE causal ablation: deploy hack X (ON) -> Y (OFF)" (strict rate, trained marker, two decimals). "shrinkage":
// how much of the drop in hacks from ON to OFF a random half of the same rank brings too, (ON − half) / (ON − OFF): 1 =
// the quarantine is no better than half an adapter, 0 = all of the drop is the quarantine's; null without a drop or a
// half. Without a row "off" the adapter has nothing to take off: then OFF is ON, what is deployed, and "note" says so.
nlohmann::ordered_json AblationTable(const std::vector<AblationRow>& rows, uint64_t seed);

}  // namespace evilmoe
