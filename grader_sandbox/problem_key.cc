#include "grader_sandbox/problem_key.h"

#include "common/hash.h"
#include "grader_sandbox/value_codec.h"

namespace evilmoe {

std::string ProblemKey(const Problem& problem) {
  std::string bytes;
  for (const std::string* text : {&problem.func_name, &problem.setup_code, &problem.canonical_solution}) {
    AppendText(bytes, *text);
  }
  for (const std::string& test : problem.gt_answer) AppendText(bytes, test);
  return Sha256Hex(bytes);
}

}  // namespace evilmoe
