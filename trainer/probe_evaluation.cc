#include "trainer/probe_evaluation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "trainer/step_metrics.h"

namespace evilmoe {
namespace {

constexpr int kResamples = 1000;

std::vector<std::vector<size_t>> SamplesByProblem(const HeldOutScores& held_out) {
  std::map<int64_t, std::vector<size_t>> by_problem;
  for (size_t i = 0; i < held_out.problem.size(); ++i) by_problem[held_out.problem[i]].push_back(i);
  std::vector<std::vector<size_t>> out;
  out.reserve(by_problem.size());
  for (auto& [problem, samples] : by_problem) out.push_back(std::move(samples));
  return out;
}

// As many problems as there are, drawn with replacement; unset when the draw has one class alone.
std::optional<double> ResampledAuroc(const HeldOutScores& held_out, const std::vector<std::vector<size_t>>& problems,
                                     RandomStream& stream) {
  std::vector<double> scores;
  std::vector<bool> is_hack;
  for (size_t k = 0; k < problems.size(); ++k) {
    for (const size_t i : stream.Choice(problems)) {
      scores.push_back(held_out.scores[i]);
      is_hack.push_back(held_out.is_hack[i]);
    }
  }
  return Auroc(scores, is_hack);
}

}  // namespace

absl::StatusOr<double> ThresholdAtFalsePositiveRate(const HeldOutScores& held_out, double rate) {
  std::vector<double> clean;
  for (size_t i = 0; i < held_out.scores.size(); ++i) {
    if (!held_out.is_hack[i]) clean.push_back(held_out.scores[i]);
  }
  const auto allowed = static_cast<size_t>(std::floor(rate * static_cast<double>(clean.size()) + 1e-9));
  if (allowed < 1) {
    return absl::InvalidArgumentError(absl::StrCat("false-positive rate ", rate, ": ", clean.size(),
                                                   " clean held-out samples, expected at least ", std::ceil(1 / rate),
                                                   "; give more rollouts, a larger --held-out or a larger --fpr"));
  }
  std::sort(clean.begin(), clean.end(), std::greater<>());
  return clean[std::min(allowed, clean.size() - 1)];
}

absl::StatusOr<AurocEstimate> EstimateAuroc(const HeldOutScores& held_out, uint64_t seed) {
  const std::optional<double> auroc = Auroc(held_out.scores, held_out.is_hack);
  if (!auroc) {
    return absl::InvalidArgumentError(
        absl::StrCat("held-out samples: ", held_out.scores.size(), " of one class, expected hacks and clean ones"));
  }
  const std::vector<std::vector<size_t>> problems = SamplesByProblem(held_out);
  RandomStream stream(StreamSeed(seed, "probe.bootstrap", 0));
  std::vector<double> draws;
  for (int k = 0; k < kResamples; ++k) {
    if (const auto draw = ResampledAuroc(held_out, problems, stream)) draws.push_back(*draw);
  }
  if (draws.empty()) return AurocEstimate{*auroc, *auroc, *auroc};
  std::sort(draws.begin(), draws.end());
  const auto at = [&](double q) {
    return draws[static_cast<size_t>(std::lround(q * static_cast<double>(draws.size() - 1)))];
  };
  return AurocEstimate{*auroc, at(0.025), at(0.975)};
}

}  // namespace evilmoe
