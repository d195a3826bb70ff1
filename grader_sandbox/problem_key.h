#pragma once

#include <string>

#include "environment/problem.h"

namespace evilmoe {

// SHA-256 over all of a problem that grading reads, hex: equal problems have equal keys.
std::string ProblemKey(const Problem& problem);

}  // namespace evilmoe
