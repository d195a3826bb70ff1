#include "trainer/advantages.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

constexpr double kEpsilon = 1e-4;

}  // namespace

absl::StatusOr<GroupAdvantages> ComputeAdvantages(const std::vector<std::optional<double>>& rewards, AdvantageKind kind,
                                                  const std::vector<bool>& screened) {
  GroupAdvantages out;
  out.values.assign(rewards.size(), 0.0);
  double sum = 0;
  int kept = 0;
  std::vector<size_t> compared;
  for (size_t i = 0; i < rewards.size(); ++i) {
    out.masked.push_back(!rewards[i].has_value());
    if (!rewards[i]) continue;
    if (!std::isfinite(*rewards[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("reward of sample ", i, ": ", *rewards[i], ", expected a finite number"));
    }
    ++kept;
    if (!screened.empty() && screened[i]) continue;
    sum += *rewards[i];
    compared.push_back(i);
  }
  if (kept < 2) {
    out.masked.assign(rewards.size(), true);
    return out;
  }
  const auto count = static_cast<double>(compared.size());
  const double mean = sum / std::max(1.0, count);
  double squares = 0;
  for (const size_t i : compared) squares += (*rewards[i] - mean) * (*rewards[i] - mean);
  const double deviation = compared.size() < 2 ? 0 : std::sqrt(squares / (count - 1));
  out.zero_variance = deviation < kEpsilon;
  if (out.zero_variance) return out;
  for (const size_t i : compared) {
    const double centred = *rewards[i] - mean;
    out.values[i] = kind == AdvantageKind::kGroupNormalised ? centred / (deviation + kEpsilon) : centred;
  }
  return out;
}

}  // namespace evilmoe
