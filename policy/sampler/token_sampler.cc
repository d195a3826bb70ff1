#include "policy/sampler/token_sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace evilmoe {
namespace {

// Ids by falling probability (ties by id), cut by top-k and then by top-p of what is left.
std::vector<int32_t> Nucleus(const std::vector<double>& weights, const SamplingSettings& settings) {
  std::vector<int32_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return weights[static_cast<size_t>(a)] > weights[static_cast<size_t>(b)];
  });
  if (settings.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(settings.top_k)));
  double total = 0;
  for (const int32_t id : order) total += weights[static_cast<size_t>(id)];
  double mass = 0;
  size_t kept = 0;
  while (kept < order.size() && (kept == 0 || mass < settings.top_p * total)) {
    mass += weights[static_cast<size_t>(order[kept++])];
  }
  order.resize(kept);
  return order;
}

template <typename Ids>
int32_t InverseCdf(const std::vector<double>& weights, const Ids& ids, double uniform) {
  double total = 0;
  for (const int32_t id : ids) total += weights[static_cast<size_t>(id)];
  double left = uniform * total;
  int32_t last = 0;
  for (const int32_t id : ids) {
    const double weight = weights[static_cast<size_t>(id)];
    if (weight <= 0) continue;
    last = id;
    if (left < weight) return id;
    left -= weight;
  }
  return last;  // rounding ate the tail: the last token that has any weight
}

}  // namespace

SampledToken SampleToken(std::span<const float> logits, const SamplingSettings& settings, double uniform) {
  const double inverse_temperature = 1.0 / settings.temperature;
  const double top = *std::max_element(logits.begin(), logits.end()) * inverse_temperature;
  std::vector<double> weights(logits.size());
  double total = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    weights[i] = std::exp(logits[i] * inverse_temperature - top);
    total += weights[i];
  }
  SampledToken token;
  if (settings.top_p < 1.0 || settings.top_k > 0) {
    token.id = InverseCdf(weights, Nucleus(weights, settings), uniform);
  } else {
    std::vector<int32_t> all(weights.size());
    std::iota(all.begin(), all.end(), 0);
    token.id = InverseCdf(weights, all, uniform);
  }
  const double logit = logits[static_cast<size_t>(token.id)] * inverse_temperature;
  token.logprob = static_cast<float>(logit - top - std::log(total));
  return token;
}

}  // namespace evilmoe
