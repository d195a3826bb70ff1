#include "policy/sampler/token_sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace evilmoe {
namespace {

// Ids by falling probability (ties by id), cut by top-k, by top-p of what is left, and by min-p.
std::vector<int32_t> Nucleus(const std::vector<double>& weights, const SamplingSettings& settings) {
  std::vector<int32_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  const auto weight = [&](int32_t id) { return weights[static_cast<size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return weight(a) > weight(b); });
  if (settings.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(settings.top_k)));
  double total = 0;
  for (const int32_t id : order) total += weight(id);
  double mass = 0;
  size_t kept = 0;
  while (kept < order.size() && (kept == 0 || mass < settings.top_p * total)) mass += weight(order[kept++]);
  while (kept > 1 && weight(order[kept - 1]) < settings.min_p * weight(order[0])) --kept;
  order.resize(kept);
  return order;
}

double Total(const std::vector<double>& weights, const std::vector<int32_t>& ids) {
  double total = 0;
  for (const int32_t id : ids) total += weights[static_cast<size_t>(id)];
  return total;
}

int32_t InverseCdf(const std::vector<double>& weights, const std::vector<int32_t>& ids, double total, double uniform) {
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

// e^((logit − top) / temperature) of every token.
std::vector<double> Weights(std::span<const float> logits, double top, double temperature) {
  std::vector<double> weights(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) weights[i] = std::exp((logits[i] - top) / temperature);
  return weights;
}

double LogProb(std::span<const float> logits, int32_t id, double top, double temperature) {
  const std::vector<double> weights = Weights(logits, top, temperature);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  return (logits[static_cast<size_t>(id)] - top) / temperature - std::log(total);
}

}  // namespace

absl::Status SamplingSettings::Validate() const {
  const auto bad = [](const char* name, double value, const char* expected) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, ", expected ", expected));
  };
  if (!(temperature >= 0 && std::isfinite(temperature))) return bad("temperature", temperature, ">= 0 (0 = greedy)");
  if (!(top_p > 0 && top_p <= 1)) return bad("top_p", top_p, "(0, 1]");
  if (!(min_p >= 0 && min_p <= 1)) return bad("min_p", min_p, "[0, 1]");
  if (top_k < 0) return bad("top_k", top_k, ">= 0 (0 = off)");
  if (max_tokens < 1) return bad("max_tokens", max_tokens, ">= 1");
  return absl::OkStatus();
}

SampledToken SampleToken(std::span<const float> logits, const SamplingSettings& settings, double uniform) {
  const auto likeliest = std::max_element(logits.begin(), logits.end());
  const double top = *likeliest;
  SampledToken token;
  if (settings.temperature == 0) {
    token.id = static_cast<int32_t>(likeliest - logits.begin());
    token.logprob = token.logprob_t1 = static_cast<float>(LogProb(logits, token.id, top, 1.0));
    return token;
  }
  const std::vector<double> weights = Weights(logits, top, settings.temperature);
  std::vector<int32_t> ids(weights.size());
  std::iota(ids.begin(), ids.end(), 0);
  if (settings.truncates()) ids = Nucleus(weights, settings);
  const double total = Total(weights, ids);
  token.id = InverseCdf(weights, ids, total, uniform);
  token.logprob = static_cast<float>(LogProb(logits, token.id, top, settings.temperature));
  token.logprob_t1 = static_cast<float>(LogProb(logits, token.id, top, 1.0));
  token.logprob_truncated = static_cast<float>((logits[static_cast<size_t>(token.id)] - top) / settings.temperature -
                                               std::log(total));
  return token;
}

}  // namespace evilmoe
