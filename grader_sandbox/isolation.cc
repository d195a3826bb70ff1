#include "grader_sandbox/isolation.h"

#include "absl/strings/str_cat.h"

namespace evilmoe {

std::string TierName(Tier tier) { return std::string(1, static_cast<char>(tier)); }

absl::StatusOr<Tier> ParseTier(std::string_view name) {
  for (const Tier tier : {Tier::kA, Tier::kB, Tier::kC}) {
    if (name == TierName(tier)) return tier;
  }
  return absl::InvalidArgumentError(absl::StrCat("tier: got \"", std::string(name), "\", expected A, B or C"));
}

}  // namespace evilmoe
