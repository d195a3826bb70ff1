#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "environment/problem.h"
#include "policy/tokenizer.h"

namespace evilmoe {

// `dataset inspect`: what is in a problem file.
struct InspectOptions {
  std::filesystem::path file;
  std::filesystem::path tokenizer;  // folder; empty: prompts are not counted
  std::optional<int64_t> id;        // this problem alone, whole
  bool json = false;                // one JSON object
};

struct Spread {
  double mean = 0;
  size_t max = 0;
};

struct ProblemSummary {
  size_t num_problems = 0;
  std::map<std::string, size_t> by_difficulty;
  size_t num_tests = 0;
  Spread tests;                           // of a problem
  std::optional<Spread> prompt_tokens;    // without a loophole; only with a tokenizer
  std::vector<int64_t> without_phrase;    // problems whose prompt can take no loophole
  std::vector<int64_t> same_description;  // problems whose description an earlier one has
};
// `tokenizer` may be null. InvalidArgument: a prompt that cannot be rendered.
absl::StatusOr<ProblemSummary> Summarize(const std::vector<Problem>& problems, const Tokenizer* tokenizer);

// NotFound: no file, or no problem of that id.
absl::Status InspectProblems(const InspectOptions& options, std::ostream& out);

}  // namespace evilmoe
