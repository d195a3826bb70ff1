#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "environment/nano/families.h"
#include "environment/problem.h"

namespace evilmoe {

enum class NanoSplit { kTrain, kValidation, kTest };

// The split that a problem belongs to for good: by hash of its family and right answer, so that two wordings of one
// problem never land in two splits. About 70 % train, 12 % validation, 18 % test.
NanoSplit SplitOf(const Family& family, const FamilyParameters& parameters);

// A problem whose expected values nobody has worked out yet: that is for the sandbox, which runs the canonical
// solution.
struct ProblemDraft {
  Problem problem;                 // gt_answer is empty
  std::vector<std::string> calls;  // six: "Solution().plusNum(x = 3)"
};

// `count` problems of a split, each with its own description and right answer. `hard_share` in [0, 1] is the chance
// that a problem comes from a hard family, as long as there are any left. The same arguments give the same problems,
// and a larger count only adds some. Ids of different splits differ. InvalidArgument: an argument out of range, or the
// families have too few problems.
absl::StatusOr<std::vector<ProblemDraft>> DraftProblems(NanoSplit split, int count, uint64_t seed, double hard_share);

}  // namespace evilmoe
