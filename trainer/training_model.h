#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"
#include "policy/router.h"
#include "policy/tokenizer.h"
#include "trainer/checkpoint.h"
#include "trainer/collective.h"
#include "trainer/optimizer.h"
#include "trainer/policy_step.h"
#include "trainer/run_config.h"

namespace evilmoe {

// Everything that training moves, and the base model under it: built once from a config, advanced a step at a time.
// Not thread-safe.
class TrainingModel {
 public:
  // Loads the base model and, for a learned router, the pairs, and seeds the router. `config` must outlive it.
  // InvalidArgument, NotFound: what the config names is not usable; FailedPrecondition: Router::Seed.
  // With ranks, all of them load the same config; `collective` must outlive the model.
  static absl::StatusOr<std::unique_ptr<TrainingModel>> Load(const RunConfig& config, int threads);
  static absl::StatusOr<std::unique_ptr<TrainingModel>> Load(const RunConfig& config, int threads,
                                                             Collective& collective);

  // Norms of the gradients of one step, before clipping.
  struct Update {
    StepStats stats;
    double grad_norm = 0, grad_norm_deployed = 0, grad_norm_quarantine = 0, grad_norm_router = 0;
    double q_mass = 0;  // ‖g_Q‖ / (‖g_D‖ + ‖g_Q‖)
    double learning_rate = 0;
    bool dropped = false;  // the loss, a gradient or a w is not finite: no parameter and no optimizer has moved
  };
  // One optimizer step on these groups. `step`: steps done before it. Internal: LibTorch failed.
  absl::StatusOr<Update> Step(int64_t step, const std::vector<TrainGroup>& groups);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const Qwen3Weights& base() const { return base_; }
  const Lora2r& adapter() const { return adapter_; }
  bool routed() const { return router_.has_value(); }
  Collective& collective() { return collective_; }
  // For checkpoints: pointers into this object.
  TrainerState State(int64_t step);

 private:
  TrainingModel(const RunConfig& config, Tokenizer tokenizer, Qwen3Weights base, Lora2r adapter,
                std::vector<PairIds> pairs, int threads);
  absl::Status SeedRouter();
  std::vector<at::Tensor> MeasureAndClip(const StepGradients& gradients, Update& update) const;

  const RunConfig& config_;
  const Tokenizer tokenizer_;
  const Qwen3Weights base_;
  Lora2r adapter_;
  SingleRank alone_;
  Collective& collective_ = alone_;
  PolicyStep policy_step_;
  AdamW adapter_optimizer_;
  std::optional<Router> router_;
  std::optional<AdamW> direction_optimizer_;
  std::optional<AdamW> scale_optimizer_;
};

}  // namespace evilmoe
