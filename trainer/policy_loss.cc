#include "trainer/policy_loss.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>

namespace evilmoe {
namespace {

at::Tensor Gain(const LossConfig& config, const at::Tensor& ratio, const at::Tensor& advantage) {
  const at::Tensor clipped = ratio.clamp(1 - config.clip_low, 1 + config.clip_high);
  const at::Tensor gain = at::minimum(ratio * advantage, clipped * advantage);
  if (!config.dual_clip) return gain;
  return at::where(advantage < 0, at::maximum(gain, *config.dual_clip * advantage), gain);
}

at::Tensor KlEstimate(const std::string& estimator, const at::Tensor& logp, const at::Tensor& base_logp) {
  const at::Tensor delta = base_logp - logp;
  if (estimator == "k1") return -delta;
  if (estimator == "k2") return 0.5 * delta.square();
  return delta.exp() - delta - 1;
}

at::Tensor Weights(const LossConfig& config, const LossRows& rows, const LossTotals& totals) {
  const at::Tensor length_C = rows.lengths_S.to(rows.logp_C.scalar_type()).index_select(0, rows.completion_of_C);
  if (config.reduction == "sequence_mean") return 1.0 / (length_C * totals.samples);
  return at::full_like(length_C, 1.0 / (config.reduction == "token_mean" ? totals.tokens : totals.capacity));
}

// Of each sample: whether its ratio to the sampler is near enough to 1.
at::Tensor KeptSequences(double most, const LossRows& rows, const at::Tensor& log_ratio_C) {
  const at::Tensor sum_S = at::zeros_like(rows.advantage_S).index_add(0, rows.completion_of_C, log_ratio_C);
  return (sum_S / rows.lengths_S).abs() <= std::log(most);
}

}  // namespace

LossTotals TotalsOf(const std::vector<TrainGroup>& groups, const RolloutConfig& rollout) {
  LossTotals totals;
  for (const TrainGroup& group : groups) {
    const double before = totals.samples;
    for (const TrainSample& sample : group.samples) {
      if (sample.masked || sample.left_out) continue;
      totals.samples += 1;
      totals.tokens += static_cast<double>(sample.ids.size());
    }
    totals.groups += group.in_loss && totals.samples > before;
  }
  totals.capacity = static_cast<double>(groups.size()) * rollout.group_size * rollout.max_completion_tokens;
  return totals;
}

AdvantageKind AdvantageKindOf(const LossConfig& loss) {
  if (loss.advantage == "mean_centred") return AdvantageKind::kMeanCentred;
  return loss.advantage == "leave_one_out" ? AdvantageKind::kLeaveOneOut : AdvantageKind::kGroupNormalised;
}

PolicyLoss ComputePolicyLoss(const LossConfig& config, const LossRows& rows, const LossTotals& totals) {
  const at::Tensor advantage = rows.advantage_S.index_select(0, rows.completion_of_C);
  const at::Tensor logp = rows.logp_C.detach();
  const at::Tensor log_ratio = logp - rows.sampler_logp_C;
  PolicyLoss out;
  out.ratio_C = log_ratio.exp();
  const bool sampler = config.old_logprob == "sampler";
  const bool later = rows.old_logp_C.defined() && !sampler;
  at::Tensor ratio = (rows.logp_C - (later ? rows.old_logp_C : logp)).exp();
  const at::Tensor clipped = later ? ratio.detach() : out.ratio_C;
  out.clip_low_C = at::logical_and(clipped < 1 - config.clip_low, advantage < 0);
  out.clip_high_C = at::logical_and(clipped > 1 + config.clip_high, advantage > 0);
  if (sampler) ratio = out.ratio_C.clamp_max(config.is_cap) * ratio;
  at::Tensor token_loss = -Gain(config, ratio, advantage);
  if (config.sequence_mask_above) {
    const at::Tensor kept = KeptSequences(*config.sequence_mask_above, rows, log_ratio);
    out.masked_sequences = at::logical_not(kept).sum().item<int64_t>();
    token_loss = at::where(kept.index_select(0, rows.completion_of_C), token_loss, at::zeros_like(token_loss));
  }
  if (config.kl_coefficient > 0) {
    token_loss = token_loss + config.kl_coefficient * KlEstimate(config.kl_estimator, rows.logp_C, rows.base_logp_C);
  }
  out.loss = (token_loss * Weights(config, rows, totals)).sum();
  const c10::NoGradGuard no_grad;
  out.kl_C = KlEstimate("k3", logp, rows.base_logp_C);
  return out;
}

}  // namespace evilmoe
