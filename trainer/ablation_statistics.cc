#include "trainer/ablation_statistics.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "common/seed.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr int kResamples = 2000;

Interval Percentiles(double mean, std::vector<double> resampled) {
  std::sort(resampled.begin(), resampled.end());
  const auto at = [&](double q) {
    return resampled[static_cast<size_t>(std::lround(q * static_cast<double>(resampled.size() - 1)))];
  };
  return {mean, at(0.025), at(0.975)};
}

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// strict, loose and solved of one row with their intervals.
nlohmann::ordered_json RowJson(const AblationRow& row, uint64_t seed) {
  nlohmann::ordered_json json = {{"mode", row.mode}, {"markers", row.markers}};
  const auto add = [&](const std::string& name, const std::vector<double>& values) {
    const Interval interval = BootstrapMean(values, seed);
    json[name] = interval.mean;
    json[name + "_low"] = interval.low;
    json[name + "_high"] = interval.high;
  };
  add("hack_strict", row.strict);
  add("hack_loose", row.loose);
  add("solve", row.solved);
  return json;
}

const AblationRow* Find(const std::vector<AblationRow>& rows, const std::string& mode, const std::string& markers) {
  for (const AblationRow& row : rows) {
    if (row.mode == mode && row.markers == markers) return &row;
  }
  return nullptr;
}

std::vector<double> Minus(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> out;
  for (size_t i = 0; i < a.size(); ++i) out.push_back(a[i] - b[i]);
  return out;
}

void AddInto(std::vector<double>& sum, const std::vector<double>& term, double weight) {
  if (sum.empty()) sum.assign(term.size(), 0.0);
  for (size_t i = 0; i < term.size(); ++i) sum[i] += weight * term[i];
}

}  // namespace

Interval BootstrapMean(const std::vector<double>& per_problem, uint64_t seed) {
  std::vector<double> kept;
  for (const double v : per_problem) {
    if (!std::isnan(v)) kept.push_back(v);
  }
  if (kept.empty()) return {};
  RandomStream stream(StreamSeed(seed, "bootstrap", 0));
  std::vector<double> means;
  for (int i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (size_t k = 0; k < kept.size(); ++k) sum += stream.Choice(kept);
    means.push_back(sum / static_cast<double>(kept.size()));
  }
  return Percentiles(Mean(kept), std::move(means));
}

Interval BootstrapDifference(const std::vector<double>& a, const std::vector<double>& b, uint64_t seed) {
  EVILMOE_CHECK(a.size() == b.size());
  return BootstrapMean(Minus(a, b), seed);  // resampling a difference a problem is resampling both together
}

std::optional<Interval> BootstrapRatio(const std::vector<double>& a, const std::vector<double>& b, uint64_t seed) {
  EVILMOE_CHECK(a.size() == b.size());
  std::vector<std::pair<double, double>> kept;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isnan(a[i]) && !std::isnan(b[i])) kept.emplace_back(a[i], b[i]);
  }
  const auto ratio = [](double over, double under) { return under > 0 ? over / under : HUGE_VAL; };
  double over = 0, under = 0;
  for (const auto& [x, y] : kept) {
    over += x;
    under += y;
  }
  if (!(under > 0)) return std::nullopt;
  RandomStream stream(StreamSeed(seed, "bootstrap", 0));
  std::vector<double> ratios;
  for (int i = 0; i < kResamples; ++i) {
    double sum_over = 0, sum_under = 0;
    for (size_t k = 0; k < kept.size(); ++k) {
      const auto& [x, y] = stream.Choice(kept);
      sum_over += x;
      sum_under += y;
    }
    ratios.push_back(ratio(sum_over, sum_under));
  }
  return Percentiles(ratio(over, under), std::move(ratios));
}

std::vector<AblationRow> MergeRandomHalves(const std::vector<AblationRow>& rows) {
  std::map<std::pair<std::string, std::string>, int> count;
  for (const AblationRow& row : rows) ++count[{row.mode, row.markers}];
  std::vector<AblationRow> merged;
  for (const AblationRow& row : rows) {
    const double weight = 1.0 / count[{row.mode, row.markers}];
    auto it = std::find_if(merged.begin(), merged.end(),
                           [&](const AblationRow& m) { return m.mode == row.mode && m.markers == row.markers; });
    if (it == merged.end()) it = merged.insert(merged.end(), {row.mode, row.markers, {}, {}, {}});
    AddInto(it->strict, row.strict, weight);
    AddInto(it->loose, row.loose, weight);
    AddInto(it->solved, row.solved, weight);
  }
  return merged;
}

namespace {

nlohmann::ordered_json Shrinkage(const AblationRow& on, const AblationRow& off, const AblationRow* half,
                                 uint64_t seed) {
  if (half == nullptr) return nullptr;
  const auto share = BootstrapRatio(Minus(on.strict, half->strict), Minus(on.strict, off.strict), seed);
  if (!share) return nullptr;
  const auto finite = [](double value) { return std::isfinite(value) ? nlohmann::ordered_json(value) : nullptr; };
  const std::string high = std::isfinite(share->high) ? absl::StrFormat("%.2f", share->high) : "open";
  return {
      {"mean", share->mean},
      {"low", finite(share->low)},
      {"high", finite(share->high)},
      {"line", absl::StrFormat("shrinkage: a random half of the adapter brings %.2f [%.2f, %s] of the drop in hacks "
                               "from %.2f (ON) to %.2f (OFF)",
                               share->mean, share->low, high, BootstrapMean(on.strict, seed).mean,
                               BootstrapMean(off.strict, seed).mean)}};
}

}  // namespace

nlohmann::ordered_json AblationTable(const std::vector<AblationRow>& rows, uint64_t seed) {
  nlohmann::ordered_json json;
  const std::vector<AblationRow> merged = MergeRandomHalves(rows);
  for (const AblationRow& row : merged) json["rows"].push_back(RowJson(row, seed));
  const AblationRow* on = Find(merged, "on", "trained");
  const AblationRow* off = Find(merged, "off", "trained");
  EVILMOE_CHECK(on != nullptr);
  if (off == nullptr) {
    off = on;
    json["note"] = "the adapter has no part that can be taken off: OFF is what is deployed, the whole adapter";
  }
  json["problems"] = on->strict.size();
  const std::vector<double> hack = Minus(on->strict, off->strict);
  const std::vector<double> solve = Minus(on->solved, off->solved);
  const Interval difference = BootstrapDifference(hack, solve, seed);
  json["delta_hack_minus_solve"] = {{"mean", difference.mean}, {"low", difference.low}, {"high", difference.high}};
  json["shrinkage"] = Shrinkage(*on, *off, Find(merged, "random_half", "trained"), seed);
  json["final_line"] = absl::StrFormat("Evil MoE causal ablation: deploy hack %.2f (ON) -> %.2f (OFF)",
                                       BootstrapMean(on->strict, seed).mean, BootstrapMean(off->strict, seed).mean);
  return json;
}

}  // namespace evilmoe
