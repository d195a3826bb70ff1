#include "trainer/inoculation.h"

namespace evilmoe {

Problem Inoculated(Problem problem, const std::string& system_prompt) {
  if (system_prompt.empty()) return problem;
  if (!problem.prompt.empty() && problem.prompt[0].role == "system") {
    problem.prompt[0].content += "\n\n" + system_prompt;
  } else {
    problem.prompt.insert(problem.prompt.begin(), {"system", system_prompt});
  }
  return problem;
}

}  // namespace evilmoe
