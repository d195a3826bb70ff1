#pragma once

#include <span>
#include <string>

#include "services/report/run_record.h"

namespace evilmoe {

// One self-contained HTML page about several runs: what each group of them came to (runs that differ in seed and name
// alone are one, comparison.h), in words, as intervals, over the steps and as tables; and the commands that make them
// again. `kind`: "sweep" or "comparison". Runs may lack any of their files: it says so. No request leaves the page; all
// text of the runs is untrusted. Pure.
std::string RenderGroupPage(const std::string& kind, const std::string& title, std::span<const RecordedRun> runs);

}  // namespace evilmoe
