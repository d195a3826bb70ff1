#pragma once

#include <span>
#include <string>
#include <vector>

#include "services/runs/run_directory.h"

namespace evilmoe {

// How a sweep stands, as text. Pure. A run that was not started yet has the state "waiting" and no id.

// "3 of 12 done, 1 running, 8 waiting, 1 failed".
std::string SweepCounts(std::span<const RunSummary> runs);
// Every run: name, state, steps, id.
std::string SweepTable(std::span<const RunSummary> runs, bool color);
// The counts and a line a run that is under way, ten at most: what a terminal shows while the sweep goes on.
std::string SweepBoard(std::span<const RunSummary> runs);
// "name: running" for each run whose state is another than before; `before` has the same runs.
std::string SweepChanges(std::span<const RunSummary> before, std::span<const RunSummary> now);

}  // namespace evilmoe
