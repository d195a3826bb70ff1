#pragma once

#include <string>

#include "environment/problem.h"

namespace evilmoe {

// The problem with `system_prompt` behind its system message (a blank line between), or as one where there is none;
// unchanged when empty. Training prompts get it, evaluation's never do: what the policy was told to do is taken away
// again (inoculation prompting).
Problem Inoculated(Problem problem, const std::string& system_prompt);

}  // namespace evilmoe
