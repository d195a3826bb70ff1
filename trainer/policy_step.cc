#include "trainer/policy_step.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/qwen3.h"
#include "policy/token_log_probs.h"
#include "policy/torch_guard.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_loss.h"
#include "trainer/policy_shard.h"

namespace evilmoe {
namespace {

bool Routed(const RunConfig& config) { return config.routing.mode == "learned"; }
bool SharePrompt(const RunConfig& config) { return !Routed(config) || config.adapter.scope == "completion"; }

// Log-probabilities of targets_C, each predicted by its row of rows_C.
at::Tensor LogProbs(const Qwen3Weights& base, const at::Tensor& hidden_NH, const at::Tensor& rows_C,
                    const at::Tensor& targets_C, double temperature) {
  return ScoreTokens(hidden_NH.index_select(0, rows_C), base.head, targets_C, {.temperature = temperature}).logp_N;
}

double Sum(const at::Tensor& t) { return t.sum().item<double>(); }

}  // namespace

PolicyStep::PolicyStep(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter,
                       std::vector<PairIds> pairs, int threads)
    : config_(config),
      base_(base),
      adapter_(adapter),
      pairs_(std::move(pairs)),
      threads_(std::max(1, threads)) {}

absl::StatusOr<PolicyStep::PairFeatures> PolicyStep::ReadPairs() const {
  return TorchGuard("pair features", [&] {
    const c10::NoGradGuard no_grad;
    std::vector<PromptCompletions> groups;
    for (const PairIds& pair : pairs_) {
      groups.push_back({.prompt = &pair.prompt_ids, .completions = {&pair.hack_ids, &pair.clean_ids}});
    }
    const PolicyBatch batch = MakePolicyBatch(groups, /*share_prompt=*/true);
    AblatedProjector ablated(adapter_, batch.completion_rows_C, batch.completion_of_C, batch.lengths_S);
    Qwen3Hidden(base_, batch.packed, ablated);
    const at::Tensor sides = ablated.Features().view({static_cast<int64_t>(pairs_.size()), 2, -1});
    return PairFeatures{sides.select(1, 0).contiguous(), sides.select(1, 1).contiguous()};
  });
}

absl::Status PolicyStep::ForEachShard(std::vector<PolicyShard>& shards,
                                      void (PolicyStep::*phase)(PolicyShard&) const) const {
  std::vector<absl::Status> statuses(shards.size());
  const auto run = [&](size_t i) {
    statuses[i] = TorchGuard("training step", [&] {
                    if (!shards[i].samples.empty()) (this->*phase)(shards[i]);
                    return true;
                  }).status();
  };
  {
    std::vector<std::jthread> threads;
    for (size_t i = 1; i < shards.size(); ++i) {
      threads.emplace_back([&, i] {
        at::set_num_threads(1);  // one core a shard; OpenMP keeps this setting a thread
        run(i);
      });
    }
    if (!shards.empty()) run(0);
  }
  for (const absl::Status& status : statuses) EVILMOE_RETURN_IF_ERROR(status);
  return absl::OkStatus();
}

// The ablated pass, without gradient: the router's features, and the log-probabilities of deploy-mode samples, which
// were drawn from exactly this model.
void PolicyStep::ReadFeatures(PolicyShard& shard) const {
  const c10::NoGradGuard no_grad;
  std::vector<int64_t> kept;
  const PolicyBatch batch = MakePolicyBatch(shard.Select([](size_t) { return true; }, kept), /*share_prompt=*/true);
  AblatedProjector ablated(adapter_, batch.completion_rows_C, batch.completion_of_C, batch.lengths_S);
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, ablated);
  shard.features_SD = ablated.Features();
  shard.tokens += batch.packed.num_tokens();

  std::vector<int64_t> deployed;
  const std::vector<PromptCompletions> groups =
      shard.Select([&](size_t i) { return shard.samples[i]->deploy_mode; }, deployed);
  if (deployed.empty()) return;
  std::vector<int64_t> rows, targets, owners;
  for (size_t c = 0; c < deployed.size(); ++c) {
    const auto s = static_cast<size_t>(deployed[c]);
    const int64_t begin = batch.packed.segment_begin(static_cast<int>(batch.segment_of_S[s]));
    for (size_t t = 0; t < shard.samples[s]->ids.size(); ++t) {
      rows.push_back(begin + static_cast<int64_t>(t));
      targets.push_back(shard.samples[s]->ids[t]);
      owners.push_back(static_cast<int64_t>(c));
    }
  }
  const at::Tensor logp =
      LogProbs(base_, hidden, at::tensor(rows, at::kLong), at::tensor(targets, at::kLong), config_.rollout.temperature);
  shard.CompareWithSampler(logp, at::tensor(owners, at::kLong), deployed);
}

// One group that was sampled with the whole adapter, forwarded at w = 1 as the sampler did.
void PolicyStep::CheckSampledAtFull(PolicyShard& shard) const {
  const c10::NoGradGuard no_grad;
  const auto full = std::find_if(shard.samples.begin(), shard.samples.end(),
                                 [](const TrainSample* sample) { return !sample->deploy_mode; });
  if (full == shard.samples.end()) return;
  const auto chosen_index = static_cast<size_t>(full - shard.samples.begin());
  std::vector<int64_t> chosen;
  const PolicyBatch batch = MakePolicyBatch(shard.Select([&](size_t i) { return i == chosen_index; }, chosen), true);
  const bool whole_prompt = !Routed(config_) || config_.adapter.scope == "all";
  RoutedProjector routed(adapter_, shard.leaves,
                         RowsOf(RouteToBoth(1), PromptRouting(whole_prompt), batch.completion_of_N));
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, routed);
  const at::Tensor logp =
      LogProbs(base_, hidden, batch.completion_rows_C, batch.targets_C, config_.rollout.temperature);
  shard.CompareWithSampler(logp, batch.completion_of_C, chosen);
  shard.tokens += batch.packed.num_tokens();
}

// Log-probabilities of the base model: the reference of the KL term.
at::Tensor PolicyStep::BaseLogProbs(const PolicyBatch& batch) const {
  const c10::NoGradGuard no_grad;
  PlainProjector plain;
  return LogProbs(base_, Qwen3Hidden(base_, batch.packed, plain), batch.completion_rows_C, batch.targets_C,
                  config_.rollout.temperature);
}

// w and D's gradient factor of the completions in the loss; the gradient into a shared prompt is thinned alike.
PolicyStep::RoutedBatch PolicyStep::RouteBatch(const at::Tensor& w_S, const PolicyBatch& batch) const {
  if (!Routed(config_)) return {RouteToBoth(w_S.numel()), {}};
  RoutedBatch routed{RouteByWeight(w_S, config_.router.hard_detach_above), {}};
  routed.rollouts.w.requires_grad_(true);
  if (SharePrompt(config_)) {
    routed.options.prefix_gradient_scale_S =
        at::ones({static_cast<int64_t>(batch.packed.segments.size())})
            .index_copy(0, at::tensor(batch.segment_of_S, at::kLong), routed.rollouts.into_parameters);
  }
  return routed;
}

void PolicyStep::ForwardBackward(PolicyShard& shard) const {
  CheckSampledAtFull(shard);
  std::vector<int64_t> kept;
  const std::vector<PromptCompletions> groups = shard.Select([&](size_t i) { return shard.in_loss[i]; }, kept);
  if (kept.empty()) return;
  const PolicyBatch batch = MakePolicyBatch(groups, SharePrompt(config_));
  const at::Tensor kept_index = at::tensor(kept, at::kLong);
  const RoutedBatch routed = RouteBatch(shard.w_S.index_select(0, kept_index), batch);
  RoutedProjector projector(adapter_, shard.leaves,
                            RowsOf(routed.rollouts, PromptRouting(!Routed(config_)), batch.completion_of_N));
  const at::Tensor hidden = Qwen3Hidden(base_, batch.packed, projector, routed.options);
  const auto [logp, entropy] = ScoreTokens(hidden.index_select(0, batch.completion_rows_C), base_.head, batch.targets_C,
                                           {.temperature = config_.rollout.temperature, .entropy = true});
  const PolicyLoss loss = ComputePolicyLoss(config_.loss,
                                            {.logp_C = logp,
                                             .sampler_logp_C = shard.SamplerLogProbs(kept),
                                             .base_logp_C = BaseLogProbs(batch),
                                             .advantage_S = shard.Advantages(kept),
                                             .completion_of_C = batch.completion_of_C,
                                             .lengths_S = batch.lengths_S},
                                            shard.totals);
  loss.loss.backward();

  const c10::NoGradGuard no_grad;
  shard.loss = loss.loss.item<double>();
  if (Routed(config_)) shard.dl_dw_S = at::zeros_like(shard.w_S).index_copy(0, kept_index, routed.rollouts.w.grad());
  shard.tokens += 2 * batch.packed.num_tokens();  // and the reference pass
  shard.loss_tokens = static_cast<double>(logp.numel());
  shard.kl = Sum(loss.kl_C);
  shard.entropy = Sum(entropy);
  shard.ratio_sum = Sum(loss.ratio_C);
  shard.ratio_max = loss.ratio_C.max().item<double>();
  shard.clip_low = Sum(loss.clip_low_C);
  shard.clip_high = Sum(loss.clip_high_C);
  shard.masked_sequences = loss.masked_sequences;
}

namespace {

void Accumulate(at::Tensor& sum, const at::Tensor& term) {
  if (!term.defined()) return;
  sum = sum.defined() ? sum + term : term;
}

}  // namespace

// Sums what the shards found, in shard order.
StepStats PolicyStep::Reduce(std::vector<PolicyShard>& shards, StepGradients& gradients, at::Tensor& dl_dw_S) const {
  StepStats stats;
  gradients = {};
  gradients.a.resize(adapter_.modules().size());
  gradients.b.resize(adapter_.modules().size());
  double tokens = 0, ratio_sum = 0, difference_sum = 0, difference_tokens = 0, kl = 0;
  for (PolicyShard& shard : shards) {
    for (size_t m = 0; m < gradients.a.size(); ++m) {
      Accumulate(gradients.a[m], shard.leaves.a[m].grad());
      Accumulate(gradients.b[m], shard.leaves.b[m].grad());
    }
    if (shard.dl_dw_S.defined()) dl_dw_S.index_copy_(0, at::tensor(shard.sample_index, at::kLong), shard.dl_dw_S);
    stats.loss += shard.loss;
    stats.entropy += shard.entropy;
    stats.clip_low += shard.clip_low;
    stats.clip_high += shard.clip_high;
    stats.ratio_max = std::max(stats.ratio_max, shard.ratio_max);
    stats.logp_difference_max = std::max(stats.logp_difference_max, shard.difference_max);
    stats.tokens += shard.tokens;
    stats.masked_sequences += shard.masked_sequences;
    tokens += shard.loss_tokens;
    ratio_sum += shard.ratio_sum;
    kl += shard.kl;
    difference_sum += shard.difference_sum;
    difference_tokens += shard.difference_tokens;
  }
  const double per_token = tokens > 0 ? 1 / tokens : 0;
  stats.entropy *= per_token;
  stats.clip_low *= per_token;
  stats.clip_high *= per_token;
  if (tokens > 0) {
    stats.ratio_mean = ratio_sum * per_token;
    stats.kl = kl * per_token;
  }
  if (difference_tokens > 0) stats.logp_difference_mean = difference_sum / difference_tokens;
  stats.dl_dw_norm = dl_dw_S.norm().item<double>();
  return stats;
}

// w of every sample, differentiable in the router; 1 without one.
absl::StatusOr<at::Tensor> PolicyStep::Route(std::vector<PolicyShard>& shards, int64_t num_samples,
                                             const Router* router) const {
  if (router == nullptr) return at::ones({num_samples});
  EVILMOE_RETURN_IF_ERROR(ForEachShard(shards, &PolicyStep::ReadFeatures));
  return TorchGuard("router", [&] {
    for (const at::Tensor* leaf : {&router->u(), &router->log_scale(), &router->bias()}) leaf->mutable_grad().reset();
    at::Tensor features = at::zeros({num_samples, router->u().numel()});
    for (const PolicyShard& shard : shards) {
      if (shard.samples.empty()) continue;
      features.index_copy_(0, at::tensor(shard.sample_index, at::kLong), shard.features_SD);
    }
    return router->Weights(features);
  });
}

absl::Status PolicyStep::Pin(const Router& router, StepGradients& gradients, StepStats& stats) const {
  EVILMOE_ASSIGN_OR_RETURN(const PairFeatures pairs, ReadPairs());
  return TorchGuard("pin",
                    [&] {
                      const at::Tensor pin = router.PinLoss(pairs.hack, pairs.clean);
                      if (config_.router.pin_weight > 0) (config_.router.pin_weight * pin).backward();
                      stats.pin_loss = pin.item<double>();
                      stats.pair_separation = router.PairSeparation(pairs.hack, pairs.clean);
                      stats.router_angle = router.AngleToSeed();
                      gradients.u = router.u().grad();
                      gradients.log_scale = router.log_scale().grad();
                      gradients.bias = router.bias().grad();
                      return true;
                    })
      .status();
}

absl::StatusOr<StepStats> PolicyStep::Run(const std::vector<TrainGroup>& groups, const Router* router,
                                          StepGradients& gradients) const {
  std::vector<PolicyShard> shards = SplitGroups(groups, adapter_, TotalsOf(groups, config_.rollout), threads_);
  int64_t num_samples = 0;
  for (const TrainGroup& group : groups) num_samples += static_cast<int64_t>(group.samples.size());
  EVILMOE_ASSIGN_OR_RETURN(const at::Tensor w, Route(shards, num_samples, router));
  for (PolicyShard& shard : shards) shard.w_S = w.detach().index_select(0, at::tensor(shard.sample_index, at::kLong));
  EVILMOE_RETURN_IF_ERROR(ForEachShard(shards, &PolicyStep::ForwardBackward));

  EVILMOE_ASSIGN_OR_RETURN(StepStats stats, TorchGuard("gradients", [&] {
                             at::Tensor dl_dw_S = at::zeros({num_samples});
                             StepStats reduced = Reduce(shards, gradients, dl_dw_S);
                             const at::Tensor now = w.detach().contiguous();
                             reduced.w.assign(now.const_data_ptr<float>(), now.const_data_ptr<float>() + num_samples);
                             if (router != nullptr) w.backward(dl_dw_S);
                             return reduced;
                           }));
  if (router != nullptr) EVILMOE_RETURN_IF_ERROR(Pin(*router, gradients, stats));
  return stats;
}

}  // namespace evilmoe
