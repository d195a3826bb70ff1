#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/lora2r.h"
#include "policy/lora2r_forward.h"
#include "policy/qwen3.h"
#include "policy/qwen3_weights.h"
#include "policy/router.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_shard.h"
#include "trainer/run_config.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// Gradients of one step, summed over all samples in a fixed order. Undefined = no gradient reached it.
struct StepGradients {
  std::vector<at::Tensor> a;  // (2r, in) a module
  std::vector<at::Tensor> b;  // (out, 2r) a module
  at::Tensor u, log_scale, bias;
};

// What a step saw, for the metrics. Samples are counted over all groups in order.
struct StepStats {
  double loss = 0;  // GRPO with KL, without the pin
  double pin_loss = 0;
  std::vector<double> w;     // (S) the router's, or 1 without routing
  std::optional<double> kl;  // k3 against the base model, mean over tokens in the loss; unset without such tokens
  double entropy = 0;        // mean over tokens in the loss
  double clip_low = 0, clip_high = 0;  // fraction of tokens in the loss
  double dl_dw_norm = 0;
  double ratio_mean = 1, ratio_max = 1;  // π_w / π_sampler over tokens in the loss
  double logp_difference_mean = 0;       // |trainer − sampler| at the w that was sampled
  double logp_difference_max = 0;
  double pair_separation = 0;
  double router_angle = 0;
  int64_t masked_sequences = 0;  // by loss.sequence_mask_above
  int64_t tokens = 0;            // forwarded by this step, all passes
};

// The mathematics of one training step: features and deployed log-probabilities from the ablated pass, w, the routed
// forward and backward, the pin (algorithm.md §3). Holds no optimizer and draws nothing at random. `threads` > 1 splits
// the groups over that many threads, each with gradients of its own; the sum is taken in thread order, so a thread
// count always gives one answer.
class PolicyStep {
 public:
  // All references must outlive this. `pairs` may be empty when routing.mode is none.
  PolicyStep(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter, std::vector<PairIds> pairs,
             int threads);

  // Features of the pairs' two sides with the adapter as it is now: hack and clean, (P, M·r) each.
  struct PairFeatures {
    at::Tensor hack, clean;
  };
  absl::StatusOr<PairFeatures> ReadPairs() const;

  // `router` null: w ≡ 1 without detach. Internal: LibTorch failed.
  absl::StatusOr<StepStats> Run(const std::vector<TrainGroup>& groups, const Router* router,
                                StepGradients& gradients) const;

 private:
  absl::Status ForEachShard(std::vector<PolicyShard>& shards, void (PolicyStep::*phase)(PolicyShard&) const) const;
  void ReadFeatures(PolicyShard& shard) const;
  void ForwardBackward(PolicyShard& shard) const;
  void CheckSampledAtFull(PolicyShard& shard) const;
  at::Tensor BaseLogProbs(const PolicyBatch& batch) const;
  struct RoutedBatch {
    Routing rollouts;  // w a leaf when routed
    ForwardOptions options;
  };
  RoutedBatch RouteBatch(const at::Tensor& w_S, const PolicyBatch& batch) const;
  StepStats Reduce(std::vector<PolicyShard>& shards, StepGradients& gradients, at::Tensor& dl_dw_S) const;
  absl::StatusOr<at::Tensor> Route(std::vector<PolicyShard>& shards, int64_t num_samples, const Router* router) const;
  absl::Status Pin(const Router& router, StepGradients& gradients, StepStats& stats) const;

  const RunConfig& config_;
  const Qwen3Weights& base_;
  const Lora2r& adapter_;
  const std::vector<PairIds> pairs_;
  const int threads_;
};

}  // namespace evilmoe
