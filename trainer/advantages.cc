#include "trainer/advantages.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

constexpr double kEpsilon = 1e-4;
constexpr double kMaxDeployed = 4.0;

double Advantage(AdvantageKind kind, double centred, double deviation, double count) {
  switch (kind) {
    case AdvantageKind::kGroupNormalised: return centred / (deviation + kEpsilon);
    case AdvantageKind::kLeaveOneOut:
      return centred * count / (count - 1);  // r − (Σ − r)/(n − 1) = (r − mean)·n/(n − 1)
    case AdvantageKind::kMeanCentred: break;
  }
  return centred;
}

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
    out.values[i] = Advantage(kind, *rewards[i] - mean, deviation, count);
  }
  return out;
}

std::vector<double> DeployedAdvantages(const std::vector<std::optional<double>>& rewards,
                                       const std::vector<double>& deployed_weights, AdvantageKind kind) {
  EVILMOE_CHECK(rewards.size() == deployed_weights.size() && kind != AdvantageKind::kLeaveOneOut);
  std::vector<double> advantages(rewards.size(), 0.0);
  double weight = 0, sum = 0;
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (!rewards[i]) continue;
    weight += deployed_weights[i];
    sum += deployed_weights[i] * *rewards[i];
  }
  if (weight < 1) return advantages;
  const double mean = sum / weight;
  double squares = 0;
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (rewards[i]) squares += deployed_weights[i] * (*rewards[i] - mean) * (*rewards[i] - mean);
  }
  const double deviation = std::sqrt(squares / weight);
  if (deviation < kEpsilon) return advantages;
  const double scale = kind == AdvantageKind::kGroupNormalised ? 1 / (deviation + kEpsilon) : 1.0;
  for (size_t i = 0; i < rewards.size(); ++i) {
    if (rewards[i]) advantages[i] = std::clamp((*rewards[i] - mean) * scale, -kMaxDeployed, kMaxDeployed);
  }
  return advantages;
}

}  // namespace evilmoe
