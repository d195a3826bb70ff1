#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "policy/qwen3.h"
#include "policy/qwen3_weights.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_shard.h"
#include "trainer/rollout_gate.h"
#include "trainer/run_config.h"
#include "trainer/train_samples.h"
#include "trainer/trained_adapter.h"

namespace evilmoe {

// The passes of a step through the network, each over one shard and safe to run on several threads for different
// shards. A shard is worked through in parts of whole groups, so activations exist for one part at a time and stay near
// the caches. fp32 beside any base but a double one, where all is double. Throws c10::Error (call it under TorchGuard).
class PolicyPasses {
 public:
  // References must outlive this.
  PolicyPasses(const RunConfig& config, const Qwen3Weights& base, const TrainedAdapter& adapter)
      : config_(config), base_(base), adapter_(adapter) {}

  at::ScalarType dtype() const;  // of log-probabilities, features and gradients
  c10::Device device() const { return base_.embedding.device(); }
  // What follows reads features of an adapter with two experts.
  // Without gradient: features of the deployed model, (rollouts, M·r), prompts in order and their completions in order.
  at::Tensor ReadActivations(const PolicyBatch& batch, at::Tensor* hidden_NH = nullptr) const;
  // With one of its own: the probe's gradients, the same shape.
  at::Tensor ReadGradients(const PolicyBatch& batch) const;
  // Fills shard.features_SD. The ablated pass also compares deploy-mode samples with the sampler, which drew them from
  // exactly that model.
  void ReadFeatures(PolicyShard& shard, RolloutFeatures kind) const;
  // The routed forward and backward over the shard's samples in the loss, part by part; shard.routing is set.
  // wants_dl_dw: also shard.dl_dw_S.
  void ForwardBackward(PolicyShard& shard, bool wants_dl_dw) const;
  // One sample that was drawn with the whole adapter and, where no ablated pass has done so, one in deploy mode,
  // forwarded as the sampler did.
  void CompareWithSampler(PolicyShard& shard, bool deploy_mode_too) const;

 private:
  struct RoutedBatch {
    Routing rollouts;  // w a leaf where dL/dw is wanted
    ForwardOptions options;
  };
  void ForwardBackwardPart(PolicyShard& shard, const ShardPart& part, bool wants_dl_dw) const;
  RoutedBatch RouteBatch(const Routing& chosen, const PolicyBatch& batch, bool wants_dl_dw) const;
  void Backward(PolicyShard& shard, const std::vector<int64_t>& kept, const PolicyBatch& batch, const at::Tensor& logp,
                const RoutedBatch& routed) const;
  void CompareOne(PolicyShard& shard, bool deploy_mode) const;
  void CompareDeployed(PolicyShard& shard, const ShardPart& part, const PolicyBatch& batch,
                       const at::Tensor& hidden) const;
  at::Tensor LogProbs(const at::Tensor& hidden_NH, const at::Tensor& rows_C, const at::Tensor& targets_C) const;
  at::Tensor BaseLogProbs(const PolicyBatch& batch) const;

  const RunConfig& config_;
  const Qwen3Weights& base_;
  const TrainedAdapter& adapter_;
};

}  // namespace evilmoe
