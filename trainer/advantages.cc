#include "trainer/advantages.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr double kEpsilon = 1e-4;

}  // namespace

absl::StatusOr<GroupAdvantages> ComputeAdvantages(const std::vector<std::optional<double>>& rewards,
                                                  AdvantageKind kind) {
  GroupAdvantages out;
  out.values.assign(rewards.size(), 0.0);
  double sum = 0;
  int kept = 0;
  for (size_t i = 0; i < rewards.size(); ++i) {
    out.masked.push_back(!rewards[i].has_value());
    if (!rewards[i]) continue;
    if (!std::isfinite(*rewards[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("reward of sample ", i, ": ", *rewards[i], ", expected a finite number"));
    }
    sum += *rewards[i];
    ++kept;
  }
  if (kept < 2) {
    out.masked.assign(rewards.size(), true);
    return out;
  }
  const double mean = sum / kept;
  double squares = 0;
  for (const std::optional<double>& r : rewards) squares += r ? (*r - mean) * (*r - mean) : 0.0;
  const double deviation = std::sqrt(squares / (kept - 1));
  out.zero_variance = deviation < kEpsilon;
  if (out.zero_variance) return out;
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (!rewards[i]) continue;
    const double centred = *rewards[i] - mean;
    out.values[i] = kind == AdvantageKind::kGroupNormalised ? centred / (deviation + kEpsilon) : centred;
  }
  return out;
}

}  // namespace evilmoe
