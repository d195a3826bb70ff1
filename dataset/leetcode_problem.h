#pragma once

#include <string>
#include <variant>

#include "dataset/dropped.h"
#include "dataset/leetcode_row.h"
#include "environment/problem.h"

namespace evilmoe {

struct LeetCodeFormat {
  // Questions behind the problem itself ("Follow up: Could you do it in O(n)?") stay in the prompt.
  bool keep_follow_ups = false;
};

// What becomes of a row: a problem, or why there is none. Pure; whether the canonical solution passes is not asked yet.
//
// Prompt: kCodingSystemPrompt and UserPrompt of the description. Tests: one for each example,
// `assert FUNCTION(INPUT) == OUTPUT`, the output in double quotes when the starter code returns `-> str` and it has
// none. Examples of earlier versions are not Python throughout (`true`, lists in place of linked lists, quotes in
// quotes): where the row's own check has as many asserts as there are examples and the one at the same place says
// something else, that one is taken as it stands.
std::variant<Problem, DropReason> ProblemOfRow(const LeetCodeRow& row, const LeetCodeFormat& format);

// The description up to the line that begins with "Follow up:" or "Follow-up:", in any case.
std::string WithoutFollowUps(std::string_view description);

}  // namespace evilmoe
