#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "environment/problem.h"

namespace evilmoe {

// Setup code that zygotes should run beforehand, so that no run has to (a millisecond of each): LeetCodeDataset has six
// of them for all its problems. Only what is known before the first run is held, and in one order: what a zygote holds
// decides where a run's objects lie, and with that the order of a set of them.
inline constexpr size_t kMaxHeldSetups = 16;
inline constexpr size_t kMaxHeldSetupBytes = 4000;  // a message to the zygote has room for it

// The most common setup codes of `problems` that are short enough, sorted.
std::vector<std::string> SetupsToHold(std::span<const Problem> problems);

}  // namespace evilmoe
