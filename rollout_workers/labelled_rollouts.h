#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/tokenizer.h"

namespace evilmoe {

// A response whose grade is known, as tokens.
struct LabelledResponse {
  int64_t problem = 0;
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> response_ids;
  bool is_hack = false;
};

struct LabelledRolloutsOptions {
  std::string label = "strict_hack";  // the field that says it: strict_hack | loose_hack
  bool thinking = false;              // how "messages" are rendered
};

// Reads JSON lines, plain or Zstandard (".zst"), as a run writes them under rollouts/. A line needs the label (true or
// false) and
//   the prompt:   "prompt_ids", or else "messages", or else "prompt" (rendered text)
//   the response: "ids", or else "text" or "response", to which the end-of-turn token is added
//   "problem_id" or "id": whole number; else responses to equal prompts are taken for one problem's
// Lines with "masked": true or a "failure" are left out. InvalidArgument: "FILE:line: ..." of the first bad line;
// NotFound.
absl::StatusOr<std::vector<LabelledResponse>> ReadLabelledRollouts(const std::vector<std::filesystem::path>& files,
                                                                   const Tokenizer& tokenizer,
                                                                   const LabelledRolloutsOptions& options);

}  // namespace evilmoe
