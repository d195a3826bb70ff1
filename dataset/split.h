#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "environment/problem.h"

namespace evilmoe {

// Shares of a problem file. Which share a problem falls in is a function of its description and the seed alone: it
// stays there when others come or go, and two problems with one description are never apart. White space and case of a
// description do not count. Sizes come out near the fractions, not at them.
struct SplitShare {
  std::string name;     // letters, digits, - and _
  double fraction = 0;  // above 0; all of them sum to 1
};

// "train=0.8,validation=0.1,test=0.1". InvalidArgument says which part is wrong.
absl::StatusOr<std::vector<SplitShare>> ParseShares(std::string_view text);

// Index into `shares` (from ParseShares).
size_t ShareOf(const Problem& problem, std::span<const SplitShare> shares, uint64_t seed);

// What two problems with the same description share.
std::string DescriptionKey(const Problem& problem);

// OK, or InvalidArgument that lists what is in both by id, or has the same description.
absl::Status CheckDisjoint(std::span<const Problem> one, std::span<const Problem> other);

// `dataset split`: NAME.jsonl in `out` for each share, problems in the order of `from`.
struct SplitOptions {
  std::filesystem::path from;
  std::filesystem::path out;  // folder; made when it is missing
  std::string shares = "train=0.8,validation=0.1,test=0.1";
  std::vector<std::filesystem::path> against;  // problem files that must have nothing in common with `from`
  uint64_t seed = 0;
};
// Touches nothing unless all of it can be written: every file is read and compared, and every share has a problem. Then
// removes what it replaces before it writes: shares that stand side by side are always of one draw.
absl::Status SplitProblems(const SplitOptions& options, std::ostream& table);

}  // namespace evilmoe
