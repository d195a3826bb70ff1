#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evilmoe {

// Where the rollouts of a step are, relative to the run's directory: "rollouts/step-12.jsonl.zst".
std::string RolloutPath(int64_t step);
// The step of such a path; nullopt: another file.
std::optional<int64_t> RolloutStepOf(std::string_view path);

}  // namespace evilmoe
