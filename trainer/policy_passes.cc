#include "trainer/policy_passes.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "common/status_macros.h"
#include "policy/lora2r_forward.h"
#include "policy/token_log_probs.h"
#include "trainer/policy_loss.h"

namespace evilmoe {
namespace {

// One prompt pass for a group, unless each completion's w acts on its prompt too.
bool SharePrompt(const RunConfig& config) { return !IsRouted(config) || config.adapter.scope == "completion"; }

double Sum(const at::Tensor& t) { return t.sum().item<double>(); }

std::vector<at::Tensor> TakeGradients(const std::vector<at::Tensor>& leaves) {
  std::vector<at::Tensor> taken;
  for (const at::Tensor& leaf : leaves) {
    taken.push_back(leaf.grad());
    leaf.mutable_grad().reset();
  }
  return taken;
}

// Rows of a batch as an adapter's pass wants them.
PassRows RowsFor(const PolicyBatch& batch, const Routing& rollouts, bool whole_prompt, double group_share) {
  return {.routing = RowsOf(rollouts, PromptRouting(whole_prompt), batch.completion_of_N),
          .group_N = batch.group_of_N,
          .num_groups = batch.num_groups,
          .group_share = group_share};
}

void AddGradients(const std::vector<at::Tensor>& leaves, const std::vector<at::Tensor>& more) {
  const c10::NoGradGuard no_grad;
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (more[i].defined()) leaves[i].grad().add_(more[i]);
  }
}

}  // namespace

at::ScalarType PolicyPasses::dtype() const {
  return base_.embedding.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor PolicyPasses::LogProbs(const at::Tensor& hidden_NH, const at::Tensor& rows_C,
                                  const at::Tensor& targets_C) const {
  return ScoreTokens(hidden_NH.index_select(0, rows_C), base_.head, targets_C,
                     {.temperature = config_.rollout.temperature})
      .logp_N;
}

at::Tensor PolicyPasses::ReadActivations(const PolicyBatch& batch, at::Tensor* hidden_NH) const {
  const c10::NoGradGuard no_grad;
  EVILMOE_CHECK(adapter_.two_experts() != nullptr);
  AblatedProjector ablated(*adapter_.two_experts(), batch.completion_rows_C, batch.completion_of_C, batch.lengths_S);
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, ablated);
  if (hidden_NH != nullptr) *hidden_NH = hidden;
  return ablated.Features();
}

at::Tensor PolicyPasses::ReadGradients(const PolicyBatch& batch) const {
  EVILMOE_CHECK(adapter_.two_experts() != nullptr);
  GradientProbeProjector probe(*adapter_.two_experts(), batch.completion_of_N, batch.num_completions());
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, probe);
  const at::Tensor logp = LogProbs(hidden, batch.completion_rows_C, batch.targets_C);
  (logp / batch.lengths_S.to(logp.scalar_type()).index_select(0, batch.completion_of_C)).sum().backward();
  return probe.Features();
}

void PolicyPasses::ReadFeatures(PolicyShard& shard, RolloutFeatures kind) const {
  std::vector<at::Tensor> features;
  for (const ShardPart& part : shard.Parts()) {
    std::vector<int64_t> kept;
    const PolicyBatch batch =
        MakePolicyBatch(shard.Select([&](size_t i) { return part.Has(i); }, kept), /*share_prompt=*/true, device());
    shard.stats.tokens += static_cast<double>(batch.packed.num_tokens());
    if (kind == RolloutFeatures::kGradients) {
      features.push_back(ReadGradients(batch));
      continue;
    }
    at::Tensor hidden;
    features.push_back(ReadActivations(batch, &hidden));
    CompareDeployed(shard, part, batch, hidden);
  }
  shard.features_SD = at::cat(features, 0);
}

void PolicyPasses::CompareDeployed(PolicyShard& shard, const ShardPart& part, const PolicyBatch& batch,
                                   const at::Tensor& hidden) const {
  const c10::NoGradGuard no_grad;
  std::vector<int64_t> rows, targets, owners, deployed;
  for (size_t s = part.begin; s < part.end; ++s) {
    const TrainSample& sample = *shard.samples[s];
    if (!sample.deploy_mode) continue;
    const int64_t begin = batch.packed.segment_begin(static_cast<int>(batch.segment_of_S[s - part.begin]));
    for (size_t t = 0; t < sample.ids.size(); ++t) {
      rows.push_back(begin + static_cast<int64_t>(t));
      targets.push_back(sample.ids[t]);
      owners.push_back(static_cast<int64_t>(deployed.size()));
    }
    deployed.push_back(static_cast<int64_t>(s));
  }
  if (deployed.empty()) return;
  const at::Tensor logp =
      LogProbs(hidden, at::tensor(rows, at::kLong).to(device()), at::tensor(targets, at::kLong).to(device()));
  shard.CompareWithSampler(logp, at::tensor(owners, at::kLong), deployed);
}

void PolicyPasses::CompareWithSampler(PolicyShard& shard, bool deploy_mode_too) const {
  const c10::NoGradGuard no_grad;
  CompareOne(shard, /*deploy_mode=*/false);
  if (deploy_mode_too) CompareOne(shard, /*deploy_mode=*/true);
}

void PolicyPasses::CompareOne(PolicyShard& shard, bool deploy_mode) const {
  const auto found = std::find_if(shard.samples.begin(), shard.samples.end(),
                                  [&](const TrainSample* sample) { return sample->deploy_mode == deploy_mode; });
  if (found == shard.samples.end()) return;
  const auto chosen_index = static_cast<size_t>(found - shard.samples.begin());
  std::vector<int64_t> chosen;
  const PolicyBatch batch =
      MakePolicyBatch(shard.Select([&](size_t i) { return i == chosen_index; }, chosen), true, device());
  const bool whole_prompt = !deploy_mode && (!IsRouted(config_) || config_.adapter.scope == "all");
  Routing sampled = RouteToBoth(1);
  if (deploy_mode) sampled.w = at::zeros({1});
  const auto pass = shard.replica->Begin(RowsFor(batch, sampled, whole_prompt, /*group_share=*/0));
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, pass->projector());
  shard.CompareWithSampler(LogProbs(hidden, batch.completion_rows_C, batch.targets_C), batch.completion_of_C, chosen);
  shard.stats.tokens += static_cast<double>(batch.packed.num_tokens());
}

// Log-probabilities of the base model: the reference of the KL term.
at::Tensor PolicyPasses::BaseLogProbs(const PolicyBatch& batch) const {
  const c10::NoGradGuard no_grad;
  PlainProjector plain;
  return LogProbs(Qwen3Hidden(base_, batch.packed, plain), batch.completion_rows_C, batch.targets_C);
}

// The gradient that a rollout sends into a shared prompt is thinned as its own rows' is.
PolicyPasses::RoutedBatch PolicyPasses::RouteBatch(const Routing& chosen, const PolicyBatch& batch,
                                                   bool wants_dl_dw) const {
  RoutedBatch routed{chosen, {}};
  if (wants_dl_dw) routed.rollouts.w = chosen.w.detach().clone().requires_grad_(true);
  if (IsRouted(config_) && SharePrompt(config_)) {
    const at::Tensor& factor = chosen.into_parameters;
    routed.options.prefix_gradient_scale_S =
        at::ones({static_cast<int64_t>(batch.packed.segments.size())}, factor.options())
            .index_copy(0, at::tensor(batch.segment_of_S, at::kLong), factor)
            .to(device());
  }
  return routed;
}

void PolicyPasses::ForwardBackward(PolicyShard& shard, bool wants_dl_dw) const {
  if (config_.loss.inner_steps > 1) shard.logp.assign(shard.samples.size(), {});
  for (const ShardPart& part : shard.Parts()) ForwardBackwardPart(shard, part, wants_dl_dw);
}

void PolicyPasses::ForwardBackwardPart(PolicyShard& shard, const ShardPart& part, bool wants_dl_dw) const {
  std::vector<int64_t> kept;
  const std::vector<PromptCompletions> groups =
      shard.Select([&](size_t i) { return part.Has(i) && shard.in_loss[i]; }, kept);
  if (kept.empty()) return;
  const PolicyBatch batch = MakePolicyBatch(groups, SharePrompt(config_), device());
  const RoutedBatch routed = RouteBatch(SelectRollouts(shard.routing, kept), batch, wants_dl_dw);
  const auto pass = shard.replica->Begin(RowsFor(batch, routed.rollouts, !IsRouted(config_), 1 / shard.totals.groups));
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, pass->projector(), routed.options);
  pass->AddTo(shard.stats.adapter);
  const auto [logp, entropy] = ScoreTokens(hidden.index_select(0, batch.completion_rows_C), base_.head, batch.targets_C,
                                           {.temperature = config_.rollout.temperature, .entropy = true});
  shard.stats.entropy += Sum(entropy);
  shard.stats.tokens += 2.0 * static_cast<double>(batch.packed.num_tokens());  // and the reference pass
  Backward(shard, kept, batch, logp, routed);
  if (config_.loss.inner_steps > 1) {
    const auto samples = logp.detach().split_with_sizes(shard.Lengths(kept));
    for (size_t i = 0; i < kept.size(); ++i) shard.logp[static_cast<size_t>(kept[i])] = samples[i];
  }
}

void PolicyPasses::Backward(PolicyShard& shard, const std::vector<int64_t>& kept, const PolicyBatch& batch,
                            const at::Tensor& logp, const RoutedBatch& routed) const {
  const at::Tensor old_logp = shard.OldLogProbs(kept, dtype());
  LossRows rows{.logp_C = logp,
                .sampler_logp_C = shard.SamplerLogProbs(kept, dtype()).to(device()),
                .base_logp_C = BaseLogProbs(batch),
                .old_logp_C = old_logp.defined() ? old_logp.to(device()) : old_logp,
                .advantage_S = shard.Advantages(kept, dtype()).to(device()),
                .completion_of_C = batch.completion_of_C,
                .lengths_S = batch.lengths_S};
  const bool split = config_.loss.deployed_advantage == "split";
  const auto earlier = split ? TakeGradients(shard.replica->leaves()) : std::vector<at::Tensor>{};  // of other parts
  const PolicyLoss loss = ComputePolicyLoss(config_.loss, rows, shard.totals);
  loss.loss.backward({}, /*retain_graph=*/split);
  const at::Tensor& w = routed.rollouts.w;
  if (w.requires_grad()) {
    if (!shard.dl_dw_S.defined()) {
      shard.dl_dw_S = at::zeros({static_cast<int64_t>(shard.samples.size())}, w.options().requires_grad(false));
    }
    shard.dl_dw_S.index_copy_(0, at::tensor(kept, at::kLong), w.grad());
  }
  if (split) {
    const std::vector<at::Tensor> first = TakeGradients(shard.replica->leaves());
    rows.advantage_S = shard.DeployedAdvantages(kept, AdvantageKindOf(config_.loss), dtype()).to(device());
    ComputePolicyLoss(config_.loss, rows, shard.totals).loss.backward();
    shard.replica->TakeQuarantine(first);
    AddGradients(shard.replica->leaves(), earlier);
  }
  shard.stats.loss += loss.loss.item<double>();
  shard.stats.loss_tokens += static_cast<double>(logp.numel());
  shard.stats.kl += Sum(loss.kl_C);
  shard.stats.ratio_sum += Sum(loss.ratio_C);
  shard.stats.ratio_max = std::max(shard.stats.ratio_max, loss.ratio_C.max().item<double>());
  shard.stats.clip_low += Sum(loss.clip_low_C);
  shard.stats.clip_high += Sum(loss.clip_high_C);
  shard.stats.masked_sequences += static_cast<double>(loss.masked_sequences);
}

}  // namespace evilmoe
