#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/statusor.h"
#include "policy/qwen3_weights.h"
#include "trainer/policy_batch.h"

namespace evilmoe {

// What a probe reads of responses: the residual stream of the base model (no adapter) behind `layer`, averaged over a
// response's input positions, from the last prompt token to the last but one of its own (as the router's h). One row a
// response, fp32, in order. No gradient; prompts are forwarded once a group, in batches of bounded size.
// InvalidArgument: a layer that the model lacks. ResourceExhausted, Internal: LibTorch failed.
absl::StatusOr<at::Tensor> ResponseMeans(const Qwen3Weights& base, int layer,
                                         const std::vector<PromptCompletions>& groups);

}  // namespace evilmoe
