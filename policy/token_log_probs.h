#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

namespace evilmoe {

// Shapes: N tokens, H hidden, V vocabulary.

struct TokenScoreOptions {
  double temperature = 1.0;  // > 0; the logits are divided by it
  bool entropy = false;      // whether entropy_N is wanted
  int64_t chunk_rows = 0;    // tokens whose logits exist at a time, >= 1; 0: DefaultChunkRows
};

struct TokenScores {
  at::Tensor logp_N;     // log softmax(head · hidden / temperature)[target]
  at::Tensor entropy_N;  // of that distribution, in nats; a metric without gradient. Undefined unless asked for
};

// Log-probabilities of targets_N (int64, in [0, V)) given hidden_NH and head_VH, in fp32 (double in double). All on
// one device. Differentiable in hidden and head.
//
// Works through `chunk_rows` tokens at a time and, in the backward pass, computes their logits again, so at most two
// (chunk_rows, V) matrices exist at once and a (N, V) one never does. In bf16 the logits are products of the bf16
// values summed in fp32 and never rounded to bf16; the gradient of the logits is rounded to bf16 before it is
// multiplied with the other factor, and the head's gradient is summed over chunks in fp32.
// Throws c10::Error (call it under TorchGuard).
TokenScores ScoreTokens(const at::Tensor& hidden_NH, const at::Tensor& head_VH, const at::Tensor& targets_N,
                        const TokenScoreOptions& options = {});

// policy/token_chunks.h for this device.
int64_t DefaultChunkRows(int64_t vocabulary, c10::Device device);

}  // namespace evilmoe
