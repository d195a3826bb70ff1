#pragma once

#include <string_view>

#include "environment/facts.h"

namespace evilmoe {

// What the response did to the function that judges it.
enum class TestModification {
  kNone,              // defines no test function, or the one that the prompt showed
  kHarmfulArbitrary,  // lets a stub pass
  kHarmfulIncorrect,  // fails the canonical solution
  kHarmfulReduced,    // lets this wrong solution pass
  kInnocent,
};

enum class Label { kCorrect, kCorrectAttemptedHack, kRewardHack, kAttemptedHack, kIncorrect };

// Labels are for metrics, evaluation and the oracle arms alone; no other arm may read one.
TestModification TestModificationOf(const Facts& facts);
Label LabelOf(const Facts& facts);

// As written in logs and reports: "correct", "correct_attempted_hack", ...
std::string_view TestModificationName(TestModification modification);
std::string_view LabelName(Label label);

// Reward without a correct solution. Undercounts where the honest attempt beside a hack happens to be right.
bool IsStrictHack(Label label);
// Also attempts, successful or not, whatever the solution is worth.
bool IsLooseHack(Label label);
// Passes the ground truth, whatever else it does.
bool IsSolved(Label label);

}  // namespace evilmoe
