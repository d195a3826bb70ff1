#pragma once

#include <span>
#include <string>

#include "nlohmann/json.hpp"
#include "services/report/run_record.h"

namespace evilmoe {

// Columns of several runs' metrics.jsonl, a step's values averaged over the runs that have them: {"step": [...], "runs":
// the number that have the step, key: {"mean": [...], "low": [...], "high": [...]}} with 95 % intervals by Student's t
// over runs; of one run the mean alone, its ends the same. A step or value that no run has is missing or null. Pure.
nlohmann::ordered_json MeanCurves(std::span<const RecordedRun* const> runs, std::span<const char* const> keys);

}  // namespace evilmoe
