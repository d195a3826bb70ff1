#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "policy/lora2r.h"
#include "policy/packed_batch.h"
#include "policy/qwen3_weights.h"
#include "policy/routing.h"
#include "tests/unit/policy_network/double_reference.h"

namespace evilmoe {

// A few rollouts under one adapter, run by us in one packed batch and by DoubleReference one at a time.

inline constexpr int64_t kRank = 3;  // of TinyAdapterOptions

struct Rollout {
  std::vector<int32_t> prompt;
  std::vector<int32_t> completion;
  double w;
  RolloutMask mask = RolloutMask::kKeep;
};
// Five of two prompts, at several w and masks.
const std::vector<Rollout>& Rollouts();
std::vector<Rollout> RolloutsAt(double w);
// What the network reads of one: prompt and completion without its last token.
std::vector<int32_t> InputIds(const Rollout& rollout);

// Rollouts in one batch, a prompt (without its last token) once for its group.
struct RolloutBatch {
  PackedBatch packed;
  at::Tensor owner_N;  // rollout of a row, or their number for a prompt's
  int64_t num_prompts = 0;
  std::vector<int> segment_of_S;
};
RolloutBatch PackRollouts(const std::vector<Rollout>& rollouts);

// What one pass gives. The loss is Σ of fixed coefficients times the completions' log-probabilities.
struct Pass {
  std::vector<at::Tensor> logp;                  // of a rollout's tokens each
  std::vector<at::Tensor> deployed, quarantine;  // gradients of A then B, module by module
  std::vector<double> dl_dw;                     // a rollout each
};
at::Tensor LossOf(size_t rollout, const at::Tensor& logp);

// ‖a − b‖ / ‖b‖ over all tensors as one vector; ‖a‖ where b is 0.
double Relative(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b);
double LargestAbsolute(const std::vector<at::Tensor>& tensors);

using Route = std::function<Routing(const at::Tensor& w_S)>;
using ReferenceRouteOf = std::function<ReferenceRoute(const Rollout&, at::Tensor w)>;

// The parameter: random_ab (true) or zero_b.
class InvariantsTest : public ::testing::TestWithParam<bool> {
 protected:
  InvariantsTest();

  // Moves A and B as training would: of D (first_column 0), of Q (kRank), of both.
  void Perturb(int64_t first_column);
  void Train();

  // Ours. `whole_prompt`: the prompt with both experts, for arms without routing; otherwise at w = 0.
  Pass Ours(const std::vector<Rollout>& rollouts, const Route& route, bool whole_prompt = false) const;
  Pass Ours(const std::vector<Rollout>& rollouts) const;  // the learned router's route

  Pass Reference(const std::vector<Rollout>& rollouts, const ReferenceRouteOf& route, bool whole_prompt = false) const;
  Pass Reference(const std::vector<Rollout>& rollouts) const;

  // Logits of the first rollout's inputs under plain weights, and under the adapter with every row at w.
  at::Tensor PlainLogits(const Qwen3Weights& weights) const;
  at::Tensor RoutedLogits(double w) const;

  static void ExpectSameLogProbs(const Pass& ours, const Pass& want);
  static void ExpectSameGradients(const Pass& ours, const Pass& want);
  static void ExpectSame(const Pass& ours, const Pass& want);  // both, and dL/dw

  Qwen3Weights base_;
  Lora2r adapter_;
};

}  // namespace evilmoe
