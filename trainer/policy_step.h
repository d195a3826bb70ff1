#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "trainer/collective.h"
#include "trainer/policy_passes.h"
#include "trainer/policy_shard.h"
#include "trainer/rollout_gate.h"
#include "trainer/run_config.h"
#include "trainer/step_stats.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// One of several passes over the same samples (loss.inner_steps).
struct InnerPass {
  bool first = true;
  // When set, gets the log-probabilities of the samples that this rank had in the loss, one list a sample.
  std::vector<std::vector<float>>* logprobs = nullptr;
};

// The mathematics of one optimizer step: features, the gate's routing, the routed forward and backward, the gate's own
// gradients (algorithm.md §3). Holds no optimizer and draws nothing at random. The groups are spread over `threads` of
// each rank, each with gradients of its own; sums are taken in the order of threads, then by the collective, so a
// number of threads and ranks always gives one answer. Every rank passes the same groups and comes to the same
// gradients.
class PolicyStep {
 public:
  // All references must outlive this. `pairs` may be empty where no gate asks for them.
  PolicyStep(const RunConfig& config, const Qwen3Weights& base, const TrainedAdapter& adapter,
             std::vector<PairIds> pairs, int threads, Collective& collective);

  // Features of the pairs' two sides with the adapter as it is now.
  absl::StatusOr<PairFeatures> ReadPairs(RolloutFeatures kind) const;

  // Internal: LibTorch failed. Errors of Collective.
  absl::StatusOr<StepStats> Run(const std::vector<TrainGroup>& groups, RolloutGate& gate, StepGradients& gradients,
                                const InnerPass& pass = {}) const;

 private:
  template <typename Phase>
  absl::Status ForEachShard(std::vector<PolicyShard>& shards, Phase phase) const;
  absl::StatusOr<Routing> Route(std::vector<PolicyShard>& shards, const std::vector<const TrainSample*>& samples,
                                RolloutGate& gate, bool first_pass) const;
  absl::Status SumOverRanks(StepGradients& gradients, at::Tensor& dl_dw_S) const;
  absl::StatusOr<StepStats> SumStats(const std::vector<PolicyShard>& shards) const;

  const PolicyPasses passes_;
  const TrainedAdapter& adapter_;
  const std::vector<PairIds> pairs_;
  const int threads_;
  const RolloutConfig rollout_;
  Collective& collective_;
};

}  // namespace evilmoe
