#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "policy/lora2r.h"
#include "policy/qwen3_weights.h"

namespace evilmoe {

// What of the gradient reaches the deployed expert, in the textbook form of each.
enum class DeployedGradient {
  kThinned,           // (1−w)·dep + w·sg(dep): the learned router
  kWhole,             // dep
  kNone,              // sg(dep): a hard detach, gradient routing
  kNotItsParameters,  // dep under sg(A_D), sg(B_D): SGTM
};

// sg(dep) of each module in order of use, and the w of the factors 1 − w: what a finite difference in w must hold still.
struct FrozenTerms {
  double w = 0;
  std::vector<at::Tensor> dep;
};

struct ReferenceRoute {
  at::Tensor w;  // a double scalar, maybe a leaf
  DeployedGradient deployed = DeployedGradient::kThinned;
  double prompt_gradient = 1;     // factor on what the completion sends into the prompt's keys and values
  FrozenTerms* frozen = nullptr;  // filled when empty, and used in place of the terms when full
};

// Qwen3 under lora2r in double precision, one rollout at a time, by the definition and nothing else: detached copies,
// an explicit mask, a loop over heads. It shares no code with policy/ but the layout of weights.
// Legend: T input positions of a rollout, C of them in the completion, M modules, r rank of one expert.
class DoubleReference {
 public:
  // The base model alone; then `route` has no effect.
  explicit DoubleReference(const Qwen3Weights& base);
  DoubleReference(const Qwen3Weights& base, const Lora2r& adapter);

  // Final hidden states (T, H) of `ids`. The last C positions run by `route`, those before at w = 0 with D's whole
  // gradient.
  at::Tensor Hidden(const std::vector<int32_t>& ids, int64_t completion_rows, const ReferenceRoute& route);
  at::Tensor Logits(const at::Tensor& hidden_TH) const;
  // log softmax(logits)[target] of each row.
  at::Tensor LogProbs(const at::Tensor& hidden_CH, const std::vector<int32_t>& targets_C) const;

  // Mean over the completion's rows of A_D x by the last Hidden, (M·r).
  at::Tensor Features() const;

  // One expert's factors: leaves. a (r, in), b (out, r).
  struct Expert {
    at::Tensor a, b, a0, b0;
  };
  struct Module {
    Expert deployed, quarantine;
  };
  const std::vector<Module>& modules() const { return modules_; }

 private:
  at::Tensor Project(int layer, Linear linear, const at::Tensor& x_TI);
  at::Tensor Routed(Module& module, const at::Tensor& x_CI);
  at::Tensor Attention(int layer, const at::Tensor& x_TH);
  at::Tensor PromptGradientScaled(const at::Tensor& x) const;

  const Qwen3Weights& base_;
  std::vector<Module> modules_;
  std::vector<int> position_;  // of a module index; empty without an adapter
  double scale_ = 1;

  ReferenceRoute route_;  // of the call under way
  int64_t prompt_rows_ = 0;
  size_t frozen_used_ = 0;
  std::vector<at::Tensor> features_;
};

}  // namespace evilmoe
