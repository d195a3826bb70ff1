#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace evilmoe {

// LeetCodeDataset keeps the tests of a row as the source of a function, one assert after another:
//
//   def check(candidate):
//       assert candidate(n = 2) == 4
//       assert is_same_list(candidate(head = list_node([1])), list_node([1]))

// The asserts as written, without their indentation, and with `function` in place of the name `candidate` wherever it
// stands outside of a string. Lines that begin no assert belong to the one before; those in front of the first are
// left out.
std::vector<std::string> AssertsOfCheck(std::string_view check, std::string_view function);

}  // namespace evilmoe
