#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

#include "policy/packed_batch.h"

namespace evilmoe {

// A prompt with completions of it, by reference into the caller's vectors.
struct PromptCompletions {
  const std::vector<int32_t>* prompt = nullptr;          // >= 1 tokens
  std::vector<const std::vector<int32_t>*> completions;  // >= 1 tokens each
};

// Prompts and completions packed the way the adapter wants them: the prompt but its last token is a root segment
// (w = 0 under scope `completion`); a completion's input rows run from the last prompt token to its last but one
// token and predict its tokens. Under `share_prompt` false (scope `all`) each completion has a prompt pass of its own.
// Legend: N packed rows, C completion rows, S completions.
struct PolicyBatch {
  PackedBatch packed;
  at::Tensor completion_rows_C;  // int64: packed row of each completion row
  at::Tensor targets_C;          // int64: token that the row predicts
  at::Tensor completion_of_C;    // int64: its completion
  at::Tensor lengths_S;          // fp32: rows of each completion
  at::Tensor completion_of_N;    // int64: completion whose w acts on the row; S = none (a shared prompt)
  at::Tensor group_of_N;         // int64: place of the row's prompt among `groups`
  int64_t num_groups = 0;
  std::vector<int64_t> segment_of_S;  // segment of each completion's rows

  int64_t num_completions() const { return lengths_S.numel(); }
};

// All tensors on `device`, which must be the weights'.
PolicyBatch MakePolicyBatch(const std::vector<PromptCompletions>& groups, bool share_prompt,
                            c10::Device device = c10::kCPU);

}  // namespace evilmoe
