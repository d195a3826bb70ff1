#pragma once

#include <cstdint>

#include "nlohmann/json.hpp"
#include "services/page/run_source.h"
#include "services/report/run_record.h"

namespace evilmoe {

inline constexpr size_t kMaxMetricsBytes = size_t{256} << 20;

// What a run's directory and its submitted config say, without samples.
RecordedRun RecordOf(const PageRun& run);

// {"verdict": {"tone", "text", "headline", "sentence"}, "final_line", "steps", "last", "hack", "solve", "notes"}: what a line in a
// list of runs tells. last: the columns' values at the last step; hack, solve: at most 60 of their values, spread over
// the run. Pure.
nlohmann::ordered_json GlanceJson(const RecordedRun& record);

// The columns (RecordedRun::metrics) of the steps after `step`. Pure.
nlohmann::ordered_json ColumnsAfter(const nlohmann::ordered_json& columns, int64_t step);

}  // namespace evilmoe
