#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/sampler/group_sampler.h"
#include "policy/sampler/kv_pool.h"
#include "policy/sampler/packed_model.h"

namespace evilmoe {

// What forwards a prompt but its last token, and what forwards everything after (algorithm of `adapter.scope`). One and
// the same where the adapter lies beside the weights: then each group brings its w for both.
struct SamplerModels {
  std::shared_ptr<const PackedModel> prompt;
  std::shared_ptr<const PackedModel> completion;
  bool operator==(const SamplerModels&) const = default;
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
// ReferenceSampler is the slow definition.
class Sampler final : public GroupSampler {
 public:
  // `pool` may serve several samplers of one thread. InvalidArgument: models and pool of different shapes.
  static absl::StatusOr<std::unique_ptr<Sampler>> Create(SamplerModels models, std::shared_ptr<KvPool> pool,
                                                         const SamplerOptions& options);
  ~Sampler() override;

  absl::Status Add(const SampleGroup& group) override;
  void Cancel(int64_t tag) override;
  int num_running() const override;
  int num_waiting() const override;
  PrefixUse TakePrefixUse() override;
  absl::StatusOr<std::vector<FinishedSample>> Step() override;

 private:
  class Impl;
  explicit Sampler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace evilmoe
