#include "trainer/step_memory.h"

#include "policy/fused/kernels.h"
#include "policy/token_chunks.h"

namespace evilmoe {

int64_t StepPeakBytes(const Qwen3Config& config, const AdapterShape& adapter, int64_t rows) {
  const int64_t hidden = config.hidden_size, ffn = config.intermediate_size, heads = config.num_heads;
  const int64_t q = heads * config.head_dim, kv = config.num_kv_heads * config.head_dim;
  const int64_t mid = FusedPadded((adapter.random_ab ? 4 : 2) * adapter.rank);
  const int64_t layer = 4 * hidden + 3 * q + 3 * kv + heads + 3 * ffn + adapter.num_targets * mid;
  const int64_t row = config.num_layers * layer + 3 * ffn + 6 * hidden + 2 * config.head_dim;
  const auto size = static_cast<int64_t>(sizeof(float));
  return size * (rows * row + 3 * TokenChunkRows(config.vocab_size, /*on_cpu=*/true) * config.vocab_size);
}

}  // namespace evilmoe
