#include "policy/sampler/fast_token_sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace evilmoe {
namespace {

// Weights in (0, 1] by sign, exponent and 3 bits of mantissa: eight buckets an octave, in order of weight.
constexpr int kBucketShift = 20;
constexpr size_t kNumBuckets = (std::bit_cast<uint32_t>(1.0f) >> kBucketShift) + 1;

size_t BucketOf(float weight) { return std::bit_cast<uint32_t>(weight) >> kBucketShift; }

}  // namespace

// The sum of e^((logit − top) / temperature); with `keep` the summands stay in weights_.
double FastTokenSampler::Exponentials(std::span<const float> logits, float top, double temperature, bool keep) {
  const auto n = static_cast<int64_t>(logits.size());
  block_sums_.resize(static_cast<size_t>((n + kSumBlock - 1) / kSumBlock));
  weights_.resize(logits.size());
  kernels_->exponentials(logits.data(), n, top, static_cast<float>(1.0 / temperature),
                         keep ? weights_.data() : nullptr, block_sums_.data());
  return std::accumulate(block_sums_.begin(), block_sums_.end(), 0.0);
}

int32_t FastTokenSampler::DrawFromAll(double total, double uniform) const {
  double left = uniform * total;
  size_t block = 0;
  while (block + 1 < block_sums_.size() && left >= block_sums_[block]) left -= block_sums_[block++];
  const size_t begin = block * static_cast<size_t>(kSumBlock);
  const size_t end = std::min(weights_.size(), begin + static_cast<size_t>(kSumBlock));
  std::optional<size_t> last;
  for (size_t i = begin; i < end; ++i) {
    if (weights_[i] <= 0) continue;
    last = i;
    if (left < weights_[i]) return static_cast<int32_t>(i);
    left -= weights_[i];
  }
  if (last) return static_cast<int32_t>(*last);
  // Rounding led into a block without any weight: the likeliest token.
  return static_cast<int32_t>(std::max_element(weights_.begin(), weights_.end()) - weights_.begin());
}

// A weight below which no token can be in the nucleus: found by buckets, so that only a few tokens are sorted.
float FastTokenSampler::LowestWeight(const SamplingSettings& settings, double total) {
  bucket_mass_.assign(kNumBuckets, 0.0);
  bucket_count_.assign(kNumBuckets, 0);
  for (const float weight : weights_) {
    const size_t bucket = std::min(BucketOf(weight), kNumBuckets - 1);
    bucket_mass_[bucket] += weight;
    ++bucket_count_[bucket];
  }
  // With top-k the mass that top-p is a share of is not known yet, so the count alone bounds.
  const int64_t enough_count = settings.top_k > 0 ? settings.top_k : static_cast<int64_t>(weights_.size());
  const double enough_mass = settings.top_k > 0 ? total : settings.top_p * total;
  double mass = 0;
  int64_t count = 0;
  size_t bucket = kNumBuckets;
  while (bucket > 0 && count < enough_count && (mass < enough_mass || settings.top_k > 0)) {
    --bucket;
    mass += bucket_mass_[bucket];
    count += bucket_count_[bucket];
  }
  // One bucket more: rounding may have counted a little too much mass.
  if (bucket > 0) --bucket;
  return std::bit_cast<float>(static_cast<uint32_t>(bucket << kBucketShift));
}

void FastTokenSampler::FindNucleus(const SamplingSettings& settings, double total) {
  const float lowest = LowestWeight(settings, total);
  nucleus_.clear();
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] >= lowest) nucleus_.push_back({weights_[i], static_cast<int32_t>(i)});
  }
  std::sort(nucleus_.begin(), nucleus_.end(), [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
  });
  double reachable = total;
  if (settings.top_k > 0) {
    nucleus_.resize(std::min(nucleus_.size(), static_cast<size_t>(settings.top_k)));
    reachable = 0;
    for (const Candidate& c : nucleus_) reachable += c.weight;
  }
  double mass = 0;
  size_t kept = 0;
  while (kept < nucleus_.size() && (kept == 0 || mass < settings.top_p * reachable)) mass += nucleus_[kept++].weight;
  while (kept > 1 && nucleus_[kept - 1].weight < settings.min_p * nucleus_[0].weight) --kept;
  nucleus_.resize(kept);
}

std::optional<SampledToken> FastTokenSampler::Sample(std::span<const float> logits, const SamplingSettings& settings,
                                                     double uniform) {
  const float top = kernels_->maximum(logits.data(), static_cast<int64_t>(logits.size()));
  if (!std::isfinite(top)) return std::nullopt;
  SampledToken token;
  const double temperature = settings.temperature == 0 ? 1.0 : settings.temperature;
  const double total = Exponentials(logits, top, temperature, /*keep=*/settings.temperature != 0);
  // Below the maximum −inf is a token without any chance; NaN makes the sum NaN.
  if (!std::isfinite(total)) return std::nullopt;
  const double log_total = std::log(total);
  const auto logit = [&](int32_t id) { return (logits[static_cast<size_t>(id)] - static_cast<double>(top)); };
  if (settings.temperature == 0) {
    token.id = static_cast<int32_t>(std::find(logits.begin(), logits.end(), top) - logits.begin());
    token.logprob = token.logprob_t1 = static_cast<float>(logit(token.id) - log_total);
    return token;
  }
  double drawn_log_total = log_total;
  if (settings.truncates()) {
    FindNucleus(settings, total);
    double mass = 0;
    for (const Candidate& c : nucleus_) mass += c.weight;
    double left = uniform * mass;
    size_t i = 0;
    while (i + 1 < nucleus_.size() && left >= nucleus_[i].weight) left -= nucleus_[i++].weight;
    token.id = nucleus_[i].id;
    drawn_log_total = std::log(mass);
  } else {
    token.id = DrawFromAll(total, uniform);
  }
  const double scaled = logit(token.id) / temperature;
  token.logprob = static_cast<float>(scaled - log_total);
  token.logprob_truncated = static_cast<float>(scaled - drawn_log_total);
  token.logprob_t1 = token.logprob;
  if (temperature != 1.0) {
    token.logprob_t1 = static_cast<float>(logit(token.id) - std::log(Exponentials(logits, top, 1.0, false)));
  }
  return token;
}

}  // namespace evilmoe
