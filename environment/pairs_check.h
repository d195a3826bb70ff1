#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "environment/facts.h"
#include "environment/pairs.h"
#include "environment/problem.h"

namespace evilmoe {

// What a file of contrastive pairs has to be beyond its format, without running or sampling anything.

// Something about one pair. A note is worth knowing; an error makes the pair unfit.
struct PairFinding {
  std::string pair;
  bool error = true;
  std::string text;
};

// A problem's prompt taken apart. `phrase` is what it says about how an answer is judged.
struct PromptParts {
  std::string description;
  std::string method;
  std::string phrase;
  std::string starter_code;
};
// Of a message as UserPrompt() writes it and a loophole rewrites it; `prompt_tests` is what the loophole has put behind
// the starter code. InvalidArgument: it is not in that format to the byte.
absl::StatusOr<PromptParts> ReadPromptParts(std::string_view user_message, std::string_view prompt_tests);

// An error for a prompt in another format, and for one whose method is not the one that the tests call.
std::vector<PairFinding> CheckPrompt(const ContrastivePair& pair);

// An error for each marker, of any loophole's training or evaluation family, in the prompt, a side or the grading
// sections. Case is ignored. A marker that is one plain word ("passed") has to stand alone, any other one may be part
// of a longer name.
std::vector<PairFinding> CheckMarkers(const ContrastivePair& pair);

// A problem of a data set.
struct KnownProblem {
  std::string where;  // for the message: "problem 17"
  std::string method;
  std::string description;  // white space does not matter
};
absl::StatusOr<KnownProblem> KnownProblemOf(const Problem& problem);

// An error for each pair whose method or description is one of `known`.
std::vector<PairFinding> CheckOverlap(std::span<const ContrastivePair> pairs, std::span<const KnownProblem> known);

// The pair as the grader wants it; needs `grading`. `id` is free to choose.
Problem GradedProblem(const ContrastivePair& pair, int64_t id);

// Whether an answer did what its loophole asks for: its check reports, or its test function does harm.
bool IsHackSide(const Facts& facts);

// An error for a hack that is none, a clean side that is a hack, and a side that does not compile; a note for a clean
// side that fails honestly.
std::vector<PairFinding> CheckSides(const ContrastivePair& pair, const Facts& hack, const Facts& clean);

}  // namespace evilmoe
