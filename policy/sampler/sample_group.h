#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "policy/model_config.h"
#include "policy/sampler/token_sampler.h"

namespace evilmoe {

// One prompt and how many samples of it are wanted.
struct SampleGroup {
  int64_t tag = 0;                  // the caller's; comes back with each sample
  std::vector<int32_t> prompt_ids;  // >= 1
  int num_samples = 1;
  uint64_t seed = 0;  // sample i draws from StreamSeed(seed, "sample", i)
  // Of the quarantine, where the models carry an adapter beside the weights: on the prompt but its last token, and from
  // there on. [0, 1]
  double prompt_w = 0;
  double completion_w = 1;
  SamplingSettings settings;
};

struct FinishedSample {
  int64_t tag = 0;
  int sample = 0;               // number within its group
  std::vector<int32_t> ids;     // the stop token included when one was drawn
  // One an id, see SampledToken.
  std::vector<float> logprobs;
  std::vector<float> logprobs_t1;
  std::vector<float> logprobs_truncated;
  bool stopped = false;  // false = cut at max_tokens

  void Append(const SampledToken& token) {
    ids.push_back(token.id);
    logprobs.push_back(token.logprob);
    logprobs_t1.push_back(token.logprob_t1);
    logprobs_truncated.push_back(token.logprob_truncated);
  }
};

// InvalidArgument: what of the group this network cannot sample, by name.
absl::Status ValidateGroup(const SampleGroup& group, const Qwen3Config& config);
// Seed of one sample's draws; token t takes CounterUniform(seed, t).
uint64_t SampleSeed(const SampleGroup& group, int sample);
// Whether the sample ends with the token that was appended last; sets `stopped`.
bool HasEnded(FinishedSample& sample, const SamplingSettings& settings);

}  // namespace evilmoe
