#pragma once

#include <string>

#include "nlohmann/json.hpp"

namespace evilmoe {

// One self-contained HTML page about the runs of a sweep: what each arm came to, as sentences, as intervals on a scale
// and as a table, and every run. No script, no request. `comparison`: {"arms": [{"arm", "runs", "hack_on", "hack_off",
// "hack_random_half", "solve_on", "solve_off": {"mean", "low", "high"} or null, "headline"}], "runs": [{"run_id", "name",
// "state", "modes": {mode: {"hack", "solve"}}}]}; what is missing or of another type is left out. All text is untrusted.
// Pure.
std::string RenderSweepPage(const std::string& name, const nlohmann::ordered_json& comparison);

}  // namespace evilmoe
