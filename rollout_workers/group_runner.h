#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/sampler/expert_sampler.h"
#include "policy/sampler/sampler.h"

namespace evilmoe {

struct GroupRunnerOptions {
  int max_samples = 128;  // on their way at a time over all models, >= 1
  int threads = 1;        // of the sampler, >= 1
  int64_t kv_budget_bytes = int64_t{1} << 30;
};

// What draws a group's samples: packed weights, or per-token experts, which nothing can be packed with.
using SamplingModels = std::variant<SamplerModels, std::shared_ptr<const ExpertModel>>;

// Samples groups under different weights side by side: one sampler for each models, stepped in turn, dropped when it
// runs dry. Samplers of packed weights share one KV cache; one of experts has a budget of the same size of its own. Not
// thread-safe.
class GroupRunner {
 public:
  explicit GroupRunner(const GroupRunnerOptions& options) : options_(options) {}

  int free_samples() const { return options_.max_samples - num_samples(); }
  int num_running() const;  // that draw a token in a step; the others wait for memory
  int num_samples() const;
  bool idle() const { return lanes_.empty(); }
  // Share of the shared KV cache that is spoken for, [0, 1].
  double kv_usage() const;
  // Share of the prompt positions which samples needed that the KV cache had already, since the start; 0 before any.
  double prefix_hit_ratio() const;

  // Takes a group in. Errors as Sampler::Add; ResourceExhausted too when others are on their way and it does not fit
  // free_samples(), or when it is of another network's shape. A larger group alone is fine: its samples take turns.
  absl::Status Add(const SampleGroup& group, const SamplingModels& models);
  // Drops what is left of a group.
  void Cancel(int64_t tag);
  // One token for every running sample; returns those that ended with it.
  absl::StatusOr<std::vector<FinishedSample>> Step();

 private:
  struct Lane {
    SamplingModels models;
    std::unique_ptr<GroupSampler> sampler;
  };
  absl::Status HoldPool(const PackedModel& model);
  absl::StatusOr<std::unique_ptr<GroupSampler>> MakeSampler(const SamplerModels& models);
  absl::StatusOr<std::unique_ptr<GroupSampler>> MakeSampler(const std::shared_ptr<const ExpertModel>& model) const;
  absl::StatusOr<GroupSampler*> LaneFor(const SamplingModels& models);
  void DropIdleLanes();

  const GroupRunnerOptions options_;
  std::shared_ptr<KvPool> pool_;  // null until the first group
  std::vector<Lane> lanes_;
  PrefixUse prefix_use_;
};

}  // namespace evilmoe
