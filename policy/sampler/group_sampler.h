#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/sampler/sample_group.h"

namespace evilmoe {

// Prompt positions that samples needed when they started, and how many of them the KV cache had already.
struct PrefixUse {
  int64_t needed = 0;
  int64_t found = 0;
};

// Samples groups, one token of every running sample a step. A sample depends on its seed, prompt, settings and weights
// and not on the other groups. Not thread-safe: one thread drives it.
class GroupSampler {
 public:
  virtual ~GroupSampler() = default;  // what still runs is dropped

  // Takes a group in; its samples wait for their turn. InvalidArgument: no prompt, a token outside the vocabulary,
  // settings out of range, or longer than the model's positions. ResourceExhausted: one sample alone would pass the
  // cache's budget.
  virtual absl::Status Add(const SampleGroup& group) = 0;
  // Drops what is left of the groups with this tag.
  virtual void Cancel(int64_t tag) = 0;

  virtual int num_running() const = 0;
  virtual int num_waiting() const = 0;
  bool idle() const { return num_running() + num_waiting() == 0; }
  // Since the last call.
  virtual PrefixUse TakePrefixUse() = 0;

  // Starts what may start, draws one token for every running sample, and returns those that ended with it. Internal:
  // a sample's logits are not finite. ResourceExhausted: out of memory.
  virtual absl::StatusOr<std::vector<FinishedSample>> Step() = 0;
};

}  // namespace evilmoe
