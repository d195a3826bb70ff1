#include "services/runs/rollout_path.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr std::string_view kPrefix = "rollouts/step-", kSuffix = ".jsonl.zst";

}  // namespace

std::string RolloutPath(int64_t step) { return absl::StrCat(std::string(kPrefix), step, std::string(kSuffix)); }

std::optional<int64_t> RolloutStepOf(std::string_view path) {
  if (!path.starts_with(kPrefix)) return std::nullopt;
  path.remove_prefix(kPrefix.size());
  if (!path.ends_with(kSuffix)) return std::nullopt;
  path.remove_suffix(kSuffix.size());
  int64_t step = 0;
  if (!absl::SimpleAtoi(std::string(path), &step) || step < 0) return std::nullopt;
  return step;
}

}  // namespace evilmoe
