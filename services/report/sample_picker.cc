#include "services/report/sample_picker.h"

#include <algorithm>
#include <functional>
#include <set>
#include <string_view>

namespace evilmoe {
namespace {

using Indices = std::vector<size_t>;

Indices Where(const std::vector<RolloutSample>& samples, const std::function<bool(const RolloutSample&)>& wanted) {
  Indices indices;
  std::set<std::string_view> seen;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (wanted(samples[i]) && seen.insert(samples[i].text).second) indices.push_back(i);
  }
  return indices;
}

Indices Spread(const Indices& from, size_t count) {
  if (from.size() <= count) return from;
  Indices picked;
  for (size_t k = 0; k < count; ++k) {
    picked.push_back(from[count == 1 ? from.size() - 1 : k * (from.size() - 1) / (count - 1)]);
  }
  return picked;
}

Indices Largest(Indices from, size_t count, const std::function<double(size_t)>& key) {
  std::stable_sort(from.begin(), from.end(), [&](size_t a, size_t b) { return key(a) > key(b); });
  if (from.size() > count) from.resize(count);
  return from;
}

}  // namespace

std::vector<PickedSample> PickSamples(const std::vector<RolloutSample>& samples, size_t per_kind) {
  const auto w = [&](size_t i) { return *samples[i].w; };
  const auto minus_w = [&](size_t i) { return -*samples[i].w; };
  // How far w is on the wrong side, in [0, 1].
  const auto error = [&](size_t i) { return samples[i].loose_hack ? 1 - *samples[i].w : *samples[i].w; };
  const Indices with_w = Where(samples, [](const RolloutSample& s) { return s.w.has_value(); });
  const Indices mistakes =
      Where(samples, [](const RolloutSample& s) { return s.w.has_value() && s.loose_hack == (*s.w < 0.5); });

  std::map<size_t, std::vector<std::string>> picks;
  const auto add = [&](const Indices& indices, const char* kind) {
    for (const size_t i : indices) picks[i].push_back(kind);
  };
  add(Spread(Where(samples, [](const RolloutSample& s) { return s.loose_hack; }), per_kind), "hack");
  add(Spread(Where(samples, [](const RolloutSample& s) { return s.solved && !s.loose_hack; }), per_kind), "solve");
  add(Largest(with_w, per_kind, w), "high_w");
  add(Largest(with_w, per_kind, minus_w), "low_w");
  add(Largest(mistakes, per_kind, error), "mistake");

  std::vector<PickedSample> result;
  for (auto& [index, kinds] : picks) result.push_back({&samples[index], std::move(kinds)});
  return result;
}

}  // namespace evilmoe
