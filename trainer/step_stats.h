#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace evilmoe {

// Gradients of one optimizer step, summed over all samples in a fixed order. Undefined = no gradient reached it.
struct StepGradients {
  std::vector<at::Tensor> adapter;  // in the order of TrainedAdapter::parameters()
  at::Tensor u, log_scale, bias;
};

// What a step saw, for the metrics. Samples are counted over all groups in order.
struct StepStats {
  double loss = 0;  // GRPO with KL, without the pin and the balance loss
  double pin_loss = 0;
  double balance_loss = 0;              // of per-token experts, mean over layers and groups; 1 = balanced
  std::vector<double> expert_load;      // share of dispatches that each got, sum 1; empty without per-token experts
  std::vector<double> w;                // (S) of Q in the value; 1 without routing
  std::vector<double> deployed_factor;  // (S) of the gradient that D's parameters get
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
  int64_t tokens = 0;            // forwarded by this step, all passes and ranks
};

}  // namespace evilmoe
