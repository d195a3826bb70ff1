#pragma once

#include <span>
#include <string>

#include "services/report/comparison.h"

namespace evilmoe {

// A line a group of runs, in columns, with a head. Pure.
std::string ComparisonTable(std::span<const ComparisonRow> rows);

}  // namespace evilmoe
