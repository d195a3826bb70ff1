#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/qwen3_weights.h"
#include "policy/sampler/token_sampler.h"

namespace evilmoe {

// One prompt and how many samples of it are wanted.
struct SampleGroup {
  int64_t tag = 0;                  // the caller's; comes back with each sample
  std::vector<int32_t> prompt_ids;  // >= 1
  int num_samples = 1;
  uint64_t seed = 0;  // sample i draws from StreamSeed(seed, "sample", i)
  SamplingSettings settings;
};

struct FinishedSample {
  int64_t tag = 0;
  int sample = 0;               // number within its group
  std::vector<int32_t> ids;     // the stop token included when one was drawn
  std::vector<float> logprobs;  // one an id: SampledToken::logprob
  bool stopped = false;         // false = cut at max_tokens
};

// Samples many groups at once with one KV cache: continuous batching, the prompt forwarded once a group, finished
// samples leave the batch at once. One pair of weights for its life: `prompt_weights` forward the prompt but its last
// token, `completion_weights` everything after (algorithm.md §1, "where w acts").
//
// A sample's tokens depend on its seed, prompt, settings and weights and not on the batch it rides in (as far as the
// BLAS gives a row the same bits in every batch; where it does not, log-probabilities agree to rounding).
// Not thread-safe: one thread drives it.
class Sampler {
 public:
  // max_slots: samples at a time, >= 1; max_length: prompt + completion tokens of one sample.
  Sampler(std::shared_ptr<const Qwen3Weights> prompt_weights, std::shared_ptr<const Qwen3Weights> completion_weights,
          int max_slots, int64_t max_length);
  ~Sampler();

  // Takes a group in. InvalidArgument: no prompt, a token outside the vocabulary, settings out of range, or longer
  // than max_length. ResourceExhausted: more samples than there are free slots.
  absl::Status Add(const SampleGroup& group);
  int free_slots() const;
  bool idle() const;
  // Draws one token for every running sample; returns those that ended with it. Internal: LibTorch failed.
  absl::StatusOr<std::vector<FinishedSample>> Step();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
