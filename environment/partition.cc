#include "environment/partition.h"

#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "common/seed.h"
#include "common/status_macros.h"
#include "environment/loophole.h"

namespace evilmoe {
namespace {

absl::Status CheckWeights(const LoopholeWeights& weights) {
  if (weights.empty()) return absl::InvalidArgumentError("loopholes: none given, expected at least one name");
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto& [name, weight] = weights[i];
    EVILMOE_RETURN_IF_ERROR(LoopholeNamed(name).status());
    if (!std::isfinite(weight) || weight <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("loopholes: ", name, ": weight ", weight, ", expected above 0"));
    }
    for (size_t j = 0; j < i; ++j) {
      if (weights[j].first == name) {
        return absl::InvalidArgumentError(absl::StrCat("loopholes: ", name, " is given twice, expected once"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> PartitionLoopholes(std::span<const Problem> problems,
                                                            const LoopholeWeights& weights, uint64_t seed) {
  EVILMOE_RETURN_IF_ERROR(CheckWeights(weights));
  double total = 0;
  for (const auto& [name, weight] : weights) total += weight;
  std::vector<std::string> chosen;
  chosen.reserve(problems.size());
  for (const Problem& problem : problems) {
    const uint64_t stream = StreamSeed(seed, "loophole", static_cast<uint64_t>(problem.id));
    double left = CounterUniform(stream, 0) * total;
    size_t i = 0;
    while (i + 1 < weights.size() && left >= weights[i].second) left -= weights[i++].second;
    chosen.push_back(weights[i].first);
  }
  return chosen;
}

}  // namespace evilmoe
