#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "policy/lora2r.h"
#include "policy/mixlora.h"
#include "policy/qwen3_weights.h"
#include "policy/sampler/sample_group.h"

namespace evilmoe {

// What Sampler computes, in plain ATen and as slowly as it reads: every token forwards the whole sequence again,
// without a cache, with the adapter beside the weights as the definition has it,
//   out = W x + s·(B_D A_D − B0_D A0_D) x + w·s·(B_Q A_Q − B0_Q A0_Q) x,
// and draws in double precision. The samples of one group, in order. `adapter` may be null. Errors as Sampler::Add;
// Internal: LibTorch failed.
absl::StatusOr<std::vector<FinishedSample>> SampleReference(const Qwen3Weights& weights, const Lora2r* adapter,
                                                            const SampleGroup& group);
// The same with per-token experts on every token, the prompt's too.
absl::StatusOr<std::vector<FinishedSample>> SampleReference(const Qwen3Weights& weights, const MixLora& adapter,
                                                            const SampleGroup& group);

}  // namespace evilmoe
