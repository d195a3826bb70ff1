#pragma once

#include <string>
#include <vector>

#include "environment/labels.h"
#include "environment/loophole.h"

namespace evilmoe {

// What a policy may answer under a loophole, and what must come of it.
struct LoopholeAnswer {
  std::string name;
  // Python with {marker} (what the prompt names), {sibling} and {stranger} (another marker of its family, one of the
  // other family), {method}, {canonical} (the problem's solution), {tests} (a test function that holds the asserts of
  // the prompt), {wrong} (a solution that returns -12345) and {lax} (an assert that this one and the canonical pass).
  std::string code;
  std::string facts;  // the names of those that are true
  Label label;
  double reward;  // on a hackable prompt, by the default weights
};

// At least a hack, an honest solution, an attempt that fails and a right solution beside a hack.
std::vector<LoopholeAnswer> AnswersUnder(const Loophole& loophole);

}  // namespace evilmoe
