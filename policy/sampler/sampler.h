#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/sampler/kv_pool.h"
#include "policy/sampler/packed_model.h"
#include "policy/sampler/sample_group.h"

namespace evilmoe {

// What forwards a prompt but its last token, and what forwards everything after (algorithm of `adapter.scope`). One and
// the same where the adapter lies beside the weights: then each group brings its w for both.
struct SamplerModels {
  std::shared_ptr<const PackedModel> prompt;
  std::shared_ptr<const PackedModel> completion;
};

// Prompt positions that samples needed when they started, and how many of them the KV cache had already.
struct PrefixUse {
  int64_t needed = 0;
  int64_t found = 0;
};

struct SamplerOptions {
  int max_running = 64;  // samples that step together, >= 1
  int threads = 1;       // >= 1
};

// Samples many groups at once with one KV cache: continuous batching. A group's prompt is forwarded and stored once; a
// sample starts as soon as a place in the batch and memory for its longest course are free, in the order of Add, and
// leaves the batch with its last token.
//
// A sample depends on its seed, prompt, settings and weights, to the last bit of its log-probabilities, and not on the
// batch it rides in, nor on max_running, threads or the budget. The CPU's instruction set can change the last bits.
// Not thread-safe: one thread drives it. ReferenceSampler is the slow definition.
class Sampler {
 public:
  // `pool` may serve several samplers of one thread. InvalidArgument: models and pool of different shapes.
  static absl::StatusOr<std::unique_ptr<Sampler>> Create(SamplerModels models, std::shared_ptr<KvPool> pool,
                                                         const SamplerOptions& options);
  ~Sampler();  // what still runs is dropped

  // Takes a group in; its samples wait for their turn. InvalidArgument: no prompt, a token outside the vocabulary,
  // settings out of range, or longer than the model's positions. ResourceExhausted: one sample alone would pass the
  // cache's budget.
  absl::Status Add(const SampleGroup& group);
  // Drops what is left of the groups with this tag.
  void Cancel(int64_t tag);

  int num_running() const;
  int num_waiting() const;
  bool idle() const { return num_running() + num_waiting() == 0; }
  // Since the last call.
  PrefixUse TakePrefixUse();

  // Starts what may start, draws one token for every running sample, and returns those that ended with it. Internal:
  // a sample's logits are not finite. ResourceExhausted: out of memory.
  absl::StatusOr<std::vector<FinishedSample>> Step();

 private:
  class Impl;
  explicit Sampler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
