#include "policy/sampler/decode_attention.h"

#include <algorithm>
#include <cmath>

namespace evilmoe {
namespace {

float Dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void AddScaled(float* out, const float* x, float scale, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] += scale * x[i];
}

// In place; returns the sum, so that the caller divides once.
float Exponentials(float* scores, int64_t n) {
  const float top = *std::max_element(scores, scores + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    scores[i] = std::exp(scores[i] - top);
    sum += scores[i];
  }
  return sum;
}

}  // namespace

void DecodeAttention(const KvView& cache, const float* queries, int64_t num_heads, const std::vector<int64_t>& lengths,
                     float* output) {
  const int64_t d = cache.head_dim;
  const int64_t per_kv_head = num_heads / cache.num_kv_heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  std::vector<float> scores(lengths.empty() ? 0
                                            : static_cast<size_t>(*std::max_element(lengths.begin(), lengths.end())));
  for (size_t s = 0; s < lengths.size(); ++s) {
    for (int64_t head = 0; head < num_heads; ++head) {
      const int64_t row = static_cast<int64_t>(s) * cache.num_kv_heads + head / per_kv_head;
      const float* keys = cache.keys + row * cache.max_length * d;
      const float* values = cache.values + row * cache.max_length * d;
      const float* query = queries + (static_cast<int64_t>(s) * num_heads + head) * d;
      float* out = output + (static_cast<int64_t>(s) * num_heads + head) * d;
      for (int64_t t = 0; t < lengths[s]; ++t) scores[static_cast<size_t>(t)] = scale * Dot(query, keys + t * d, d);
      const float inverse = 1.0f / Exponentials(scores.data(), lengths[s]);
      std::fill(out, out + d, 0.0f);
      for (int64_t t = 0; t < lengths[s]; ++t) {
        AddScaled(out, values + t * d, scores[static_cast<size_t>(t)] * inverse, d);
      }
    }
  }
}

}  // namespace evilmoe
