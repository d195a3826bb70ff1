#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/sampler/sampler.h"
#include "rollout_workers/policy_cache.h"

namespace evilmoe {

// Samples groups under different weights side by side: one Sampler a pair of weights, stepped in turn, dropped when
// it runs dry. Not thread-safe.
class GroupRunner {
 public:
  // max_samples: running at a time over all weights. A larger group still runs, alone.
  explicit GroupRunner(int max_samples) : max_samples_(max_samples) {}

  int free_samples() const { return max_samples_ - running_; }
  bool idle() const { return running_ == 0; }
  // Takes a group in. Errors as Sampler::Add; ResourceExhausted when others run and it does not fit free_samples().
  absl::Status Add(const SampleGroup& group, const PolicyCache::WeightsPair& weights);
  // One token for every running sample; returns those that ended with it.
  absl::StatusOr<std::vector<FinishedSample>> Step();

 private:
  struct Lane {
    PolicyCache::WeightsPair weights;
    int64_t max_length;
    std::unique_ptr<Sampler> sampler;
  };
  Lane& LaneFor(const SampleGroup& group, const PolicyCache::WeightsPair& weights);

  const int max_samples_;
  int running_ = 0;
  std::vector<Lane> lanes_;
};

}  // namespace evilmoe
