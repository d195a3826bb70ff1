#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace evilmoe {

// The lines of a run's metrics.jsonl as text. Pure.

using MetricRows = std::vector<nlohmann::ordered_json>;

// The lines that hold a step, by step; of one that stands twice (done again after a recovery) the later. Anything else
// is left out.
MetricRows ParseMetrics(std::string_view jsonl);
// A line a step, the columns that people look at first.
std::string MetricsTable(const MetricRows& rows);
// Every field of one step, a line each.
std::string MetricsOfStep(const nlohmann::ordered_json& row);
// Every field of every step (RFC 4180): a missing one is empty, a list is its JSON.
std::string MetricsCsv(const MetricRows& rows);

}  // namespace evilmoe
