#pragma once

#include <cstdint>
#include <vector>

namespace evilmoe {

// Where one layer's keys and values of many slots lie: slot s, kv head h, position t, channel c at
// base + ((s · num_kv_heads + h) · max_length + t) · head_dim + c. fp32.
struct KvView {
  const float* keys = nullptr;
  const float* values = nullptr;
  int64_t num_kv_heads = 0;
  int64_t max_length = 0;
  int64_t head_dim = 0;
};

// One new token's attention over its slot's first lengths[s] positions (the token's own included).
// queries and output: (slots, heads, head_dim), heads a multiple of num_kv_heads. A slot's result does not depend on
// its neighbours: sums run over its own positions in a fixed order. Softmax scale 1/sqrt(head_dim).
void DecodeAttention(const KvView& cache, const float* queries, int64_t num_heads, const std::vector<int64_t>& lengths,
                     float* output);

}  // namespace evilmoe
