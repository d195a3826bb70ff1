#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/qwen3_weights.h"
#include "policy/tokenizer.h"
#include "trainer/checkpoint.h"
#include "trainer/collective.h"
#include "trainer/optimizer.h"
#include "trainer/policy_step.h"
#include "trainer/rollout_gate.h"
#include "trainer/run_config.h"
#include "trainer/step_update.h"
#include "trainer/trained_adapter.h"

namespace evilmoe {

// Everything that training moves, and the base model under it: built once from a config, advanced a step at a time.
// Not thread-safe.
class TrainingModel {
 public:
  // Loads the base model and, for a learned router, the pairs, and seeds the router. `config` must outlive it.
  // InvalidArgument, NotFound: what the config names is not usable; FailedPrecondition: Router::Seed.
  // With ranks, all of them load the same config; `collective` must outlive the model. Network and adapter are on
  // its device, the router and what it reads on the CPU. On an accelerator `threads` counts as 1.
  static absl::StatusOr<std::unique_ptr<TrainingModel>> Load(const RunConfig& config, int threads);
  static absl::StatusOr<std::unique_ptr<TrainingModel>> Load(const RunConfig& config, int threads,
                                                             Collective& collective);

  using Update = StepUpdate;
  // One step on these groups: loss.inner_steps passes of loss.minibatches optimizer steps each; what the update says is
  // the mean over them. `step`: steps done before it. Every rank passes the same groups. Internal: LibTorch failed.
  // Errors of Collective.
  absl::StatusOr<Update> Step(int64_t step, const std::vector<TrainGroup>& groups);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Qwen3Weights& base() const { return base_; }
  const TrainedAdapter& adapter() const { return *adapter_; }
  bool routed() const { return IsRouted(config_); }
  bool learns_to_route() const { return gate_->learns(); }
  Collective& collective() { return collective_; }
  // For checkpoints: pointers into this object.
  TrainerState State(int64_t step);

 private:
  TrainingModel(const RunConfig& config, Tokenizer tokenizer, Qwen3Weights base,
                std::unique_ptr<TrainedAdapter> adapter, std::vector<PairIds> pairs, int threads,
                Collective& collective);
  absl::Status SeedGate();
  absl::StatusOr<Update> OptimizerStep(double factor, const std::vector<TrainGroup>& groups, const InnerPass& pass);
  std::vector<at::Tensor> MeasureAndClip(const StepGradients& gradients, Update& update) const;

  const RunConfig& config_;
  Collective& collective_;
  const Tokenizer tokenizer_;
  const Qwen3Weights base_;
  const std::unique_ptr<TrainedAdapter> adapter_;
  PolicyStep policy_step_;
  AdamW adapter_optimizer_;
  std::unique_ptr<RolloutGate> gate_;
};

}  // namespace evilmoe
