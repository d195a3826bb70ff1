#include "services/report/run_curves.h"

#include <map>
#include <optional>
#include <vector>

#include "services/report/comparison.h"

namespace evilmoe {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Values of `key` by step.
std::map<int64_t, std::vector<double>> ByStep(std::span<const RecordedRun* const> runs, const char* key) {
  std::map<int64_t, std::vector<double>> values;
  for (const RecordedRun* run : runs) {
    const auto column = run->metrics.find(key);
    if (column == run->metrics.end()) continue;
    const OrderedJson& steps = run->metrics["step"];
    for (size_t i = 0; i < steps.size() && i < column->size(); ++i) {
      if ((*column)[i].is_number()) values[steps[i].get<int64_t>()].push_back((*column)[i].get<double>());
    }
  }
  return values;
}

}  // namespace

OrderedJson MeanCurves(std::span<const RecordedRun* const> runs, std::span<const char* const> keys) {
  std::map<int64_t, int> num_runs;
  for (const RecordedRun* run : runs) {
    for (const OrderedJson& step : run->metrics["step"]) ++num_runs[step.get<int64_t>()];
  }
  OrderedJson curves = {{"step", OrderedJson::array()}, {"runs", OrderedJson::array()}};
  for (const auto& [step, count] : num_runs) {
    curves["step"].push_back(step);
    curves["runs"].push_back(count);
  }
  for (const char* key : keys) {
    const std::map<int64_t, std::vector<double>> values = ByStep(runs, key);
    OrderedJson& curve = curves[key] = {{"mean", OrderedJson::array()}, {"low", OrderedJson::array()}, {"high", OrderedJson::array()}};
    for (const auto& [step, count] : num_runs) {
      const auto at = values.find(step);
      const std::optional<MeanInterval> over = at == values.end() ? std::nullopt : StudentInterval(at->second);
      curve["mean"].push_back(over ? OrderedJson(over->mean) : OrderedJson());
      curve["low"].push_back(over ? OrderedJson(over->low) : OrderedJson());
      curve["high"].push_back(over ? OrderedJson(over->high) : OrderedJson());
    }
  }
  return curves;
}

}  // namespace evilmoe
