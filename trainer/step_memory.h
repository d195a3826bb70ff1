#pragma once

#include <cstdint>

#include "policy/model_config.h"

namespace evilmoe {

// What a training step takes, as a formula that a test holds it to. No torch, so that an estimate can have it too.

// Groups are put together into one part (ShardPart) up to this many packed rows: enough that what each operation costs
// beside its rows is little, few enough that a step's memory is that of a part.
inline constexpr int64_t kPartRows = 1024;

// Of Lora2rOptions: what decides how large the adapter's tensors are.
struct AdapterShape {
  int64_t rank = 1;  // of one block
  bool random_ab = true;
  int64_t num_targets = 7;  // of a layer
};

// Bytes of the tensors that a training step in fp32 holds at its peak, the end of the routed forward pass over the
// `rows` packed rows of its largest part on each thread, beside weights, adapter and their gradients:
//
//   4 · rows · (L · (4H + 3Q + 3K + heads + 3F + Σ_modules mid) + 3F + 6H + 2d) + 12 · chunk · V
//
// A layer keeps its input and its norm, the second of either, q and k before and after rotation, v, attention's output
// and log-sums, gate, up and their product, and A x of each module; what follows is the backward pass's own. Of logits
// there are at most three chunks (TokenChunkRows rows, on a CPU): no (tokens, vocabulary) tensor.
// Legend: L layers, H hidden, Q heads · head_dim, K kv heads · head_dim, F intermediate, d head_dim, V vocabulary.
int64_t StepPeakBytes(const Qwen3Config& config, const AdapterShape& adapter, int64_t rows);

}  // namespace evilmoe
