#pragma once

#include <string>

#include "services/ctl/command_line.h"

namespace evilmoe {

// The script that completes verbs, options, their values, runs and files in "bash", "zsh" or "fish". Runs come from the
// hidden verb `complete-runs` each time they are asked for.
std::string CompletionScript(const CommandTree& tree, const std::string& shell);

}  // namespace evilmoe
