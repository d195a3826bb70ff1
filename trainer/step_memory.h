#pragma once

#include <cstdint>

#include "policy/lora2r.h"
#include "policy/model_config.h"

namespace evilmoe {

// Bytes of the tensors that a training step in fp32 holds at its peak, the end of the routed forward pass over the
// `rows` packed rows of its largest part (ShardPart) on each thread, beside weights, adapter and their gradients:
//
//   4 · rows · (L · (4H + 3Q + 3K + heads + 3F + Σ_modules mid) + 3F + 6H + 2d) + 12 · chunk · V
//
// A layer keeps its input and its norm, the second of either, q and k before and after rotation, v, attention's output
// and log-sums, gate, up and their product, and A x of each module; what follows is the backward pass's own. Of logits
// there are at most three chunks (DefaultChunkRows rows): no (tokens, vocabulary) tensor.
// Legend: L layers, H hidden, Q heads · head_dim, K kv heads · head_dim, F intermediate, d head_dim, V vocabulary.
int64_t StepPeakBytes(const Qwen3Config& config, const Lora2rOptions& adapter, int64_t rows);

}  // namespace evilmoe
