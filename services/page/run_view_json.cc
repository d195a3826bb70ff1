#include "services/page/run_view_json.h"

#include <algorithm>

#include "services/page/run_text.h"
#include "services/report/reading.h"

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxPoints = 60;

Json Spread(const Json& values) {
  if (values.size() <= kMaxPoints) return values;
  Json spread = Json::array();
  for (size_t k = 0; k < kMaxPoints; ++k) spread.push_back(values[k * (values.size() - 1) / (kMaxPoints - 1)]);
  return spread;
}

}  // namespace

RecordedRun RecordOf(const PageRun& run) {
  RecordedRun record;
  record.id = run.summary.run_id;
  TakeConfig(run.config_yaml, record);
  TakeMetrics(ReadRunText(run.summary.directory, "metrics.jsonl", kMaxMetricsBytes), record);
  TakeAblation(ReadRunText(run.summary.directory, "eval/ablation.json", kMaxMetricsBytes), record);
  return record;
}

nlohmann::ordered_json GlanceJson(const RecordedRun& record) {
  const Reading reading = ReadOutcome(record);
  Json last = Json::object();
  for (const auto& [name, values] : record.metrics.items()) {
    if (!values.empty() && !name.starts_with("w_histogram")) last[name] = values.back();
  }
  const bool has_line = record.ablation.is_object() && record.ablation.contains("final_line");
  return {{"verdict", {{"tone", OutcomeClass(reading.outcome)}, {"text", reading.verdict}, {"headline", reading.headline},
                        {"sentence", reading.sentence}}},
          {"final_line", has_line ? record.ablation["final_line"] : Json("")},
          {"steps", record.num_steps},
          {"last", std::move(last)},
          {"hack", Spread(record.metrics["hack_rate_strict"])},
          {"solve", Spread(record.metrics["solve_rate"])},
          {"notes", record.notes}};
}

nlohmann::ordered_json ColumnsAfter(const nlohmann::ordered_json& columns, int64_t step) {
  const Json& steps = columns["step"];
  const auto first = std::find_if(steps.begin(), steps.end(), [&](const Json& s) { return s.get<int64_t>() > step; });
  const auto skip = std::distance(steps.begin(), first);
  Json result = Json::object();
  for (const auto& [name, values] : columns.items()) result[name] = Json::array_t(values.begin() + skip, values.end());
  return result;
}

}  // namespace evilmoe
