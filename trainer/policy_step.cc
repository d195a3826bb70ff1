#include "trainer/policy_step.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <thread>

#include "common/status_macros.h"
#include "policy/lora2r_forward.h"
#include "policy/torch_guard.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_loss.h"

namespace evilmoe {
namespace {

void Accumulate(at::Tensor& sum, const at::Tensor& term) {
  if (!term.defined()) return;
  sum = sum.defined() ? sum + term : term;
}

StepGradients SumShards(const std::vector<PolicyShard>& shards, size_t num_parameters) {
  StepGradients gradients;
  gradients.adapter.resize(num_parameters);
  for (const PolicyShard& shard : shards) {
    for (size_t i = 0; i < num_parameters; ++i) Accumulate(gradients.adapter[i], shard.replica->leaves()[i].grad());
  }
  return gradients;
}

// Rows of the shards' tensors at their samples' places; the rest 0.
at::Tensor Scatter(const std::vector<PolicyShard>& shards, at::Tensor PolicyShard::*field, at::Tensor zeros) {
  for (const PolicyShard& shard : shards) {
    const at::Tensor& rows = shard.*field;
    if (rows.defined()) zeros.index_copy_(0, at::tensor(shard.sample_index, at::kLong), rows.to(at::kCPU));
  }
  return zeros;
}

std::vector<double> Doubles(const at::Tensor& t) {
  const at::Tensor wide = t.to(at::kDouble).contiguous();
  return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}

void CopyLogProbs(const std::vector<PolicyShard>& shards, size_t num_samples, std::vector<std::vector<float>>& out) {
  out.assign(num_samples, {});
  for (const PolicyShard& shard : shards) {
    for (size_t i = 0; i < shard.logp.size(); ++i) {
      if (!shard.logp[i].defined()) continue;
      const at::Tensor logp = shard.logp[i].to(at::kCPU, at::kFloat).contiguous();
      const float* values = logp.const_data_ptr<float>();
      out[static_cast<size_t>(shard.sample_index[i])].assign(values, values + logp.numel());
    }
  }
}

}  // namespace

PolicyStep::PolicyStep(const RunConfig& config, const Qwen3Weights& base, const TrainedAdapter& adapter,
                       std::vector<PairIds> pairs, int threads, Collective& collective)
    : passes_(config, base, adapter),
      adapter_(adapter),
      pairs_(std::move(pairs)),
      threads_(std::max(1, threads)),
      rollout_(config.rollout),
      collective_(collective) {}

absl::StatusOr<PairFeatures> PolicyStep::ReadPairs(RolloutFeatures kind) const {
  return TorchGuard("pair features", [&] {
    std::vector<at::Tensor> parts;
    std::vector<PromptCompletions> groups;
    int64_t rows = 0;
    for (const PairIds& pair : pairs_) {
      groups.push_back({.prompt = &pair.prompt_ids, .completions = {&pair.hack_ids, &pair.clean_ids}});
      rows += static_cast<int64_t>(pair.prompt_ids.size() + pair.hack_ids.size() + pair.clean_ids.size());
      if (rows < kPartRows && &pair != &pairs_.back()) continue;
      const PolicyBatch batch = MakePolicyBatch(groups, /*share_prompt=*/true, passes_.device());
      parts.push_back(kind == RolloutFeatures::kGradients ? passes_.ReadGradients(batch)
                                                          : passes_.ReadActivations(batch));
      groups.clear();
      rows = 0;
    }
    const at::Tensor features = at::cat(parts, 0);
    const at::Tensor sides = features.to(at::kCPU).view({static_cast<int64_t>(pairs_.size()), 2, -1});
    return PairFeatures{sides.select(1, 0).contiguous(), sides.select(1, 1).contiguous()};
  });
}

template <typename Phase>
absl::Status PolicyStep::ForEachShard(std::vector<PolicyShard>& shards, Phase phase) const {
  std::vector<absl::Status> statuses(shards.size());
  const auto run = [&](size_t i) {
    statuses[i] = TorchGuard("training step", [&] {
                    if (!shards[i].samples.empty()) phase(shards[i]);
                    return true;
                  }).status();
  };
  {
    std::vector<std::jthread> threads;
    for (size_t i = 1; i < shards.size(); ++i) {
      if (shards[i].samples.empty()) continue;
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

absl::StatusOr<Routing> PolicyStep::Route(std::vector<PolicyShard>& shards,
                                          const std::vector<const TrainSample*>& samples, RolloutGate& gate,
                                          bool first_pass) const {
  at::Tensor features;
  const RolloutFeatures kind = gate.reads();
  if (kind != RolloutFeatures::kNone) {
    EVILMOE_RETURN_IF_ERROR(ForEachShard(shards, [&](PolicyShard& shard) { passes_.ReadFeatures(shard, kind); }));
    const int64_t num_features = NumFeatures(*adapter_.two_experts());
    features = Scatter(shards, &PolicyShard::features_SD,
                       at::zeros({static_cast<int64_t>(samples.size()), num_features}, passes_.dtype()));
    EVILMOE_RETURN_IF_ERROR(collective_.Sum(features));
  }
  return TorchGuard("gate", [&] { return gate.Route(samples, features, first_pass); });
}

// One bucket for all gradients.
absl::Status PolicyStep::SumOverRanks(StepGradients& gradients, at::Tensor& dl_dw_S) const {
  if (collective_.size() == 1) return absl::OkStatus();
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor*> parts;
  for (size_t i = 0; i < gradients.adapter.size(); ++i) {
    at::Tensor& gradient = gradients.adapter[i];
    if (!gradient.defined()) gradient = at::zeros_like(adapter_.parameters()[i].value);
    parts.push_back(&gradient);
  }
  parts.push_back(&dl_dw_S);
  std::vector<at::Tensor> flat;
  for (const at::Tensor* part : parts) flat.push_back(part->flatten().to(passes_.device()));
  at::Tensor bucket = at::cat(flat);
  EVILMOE_RETURN_IF_ERROR(collective_.Sum(bucket));
  int64_t begin = 0;
  for (at::Tensor* part : parts) {
    const int64_t count = part->numel();
    *part = bucket.narrow(0, begin, count).view(part->sizes()).to(part->device());
    begin += count;
  }
  return absl::OkStatus();
}

absl::StatusOr<StepStats> PolicyStep::SumStats(const std::vector<PolicyShard>& shards) const {
  ShardStats sum;
  for (const PolicyShard& shard : shards) sum.Add(shard.stats);
  const auto rank = static_cast<size_t>(collective_.rank()), ranks = static_cast<size_t>(collective_.size());
  std::vector<double> flat = sum.Additive();
  const size_t num_sums = flat.size();
  flat.resize(num_sums + 2 * ranks);  // a place for each rank's maxima
  flat[num_sums + 2 * rank] = sum.ratio_max;
  flat[num_sums + 2 * rank + 1] = sum.difference_max;
  at::Tensor bucket = at::tensor(flat, at::kDouble);
  EVILMOE_RETURN_IF_ERROR(collective_.Sum(bucket));
  flat = Doubles(bucket);
  for (size_t r = 0; r < ranks; ++r) {
    sum.ratio_max = std::max(sum.ratio_max, flat[num_sums + 2 * r]);
    sum.difference_max = std::max(sum.difference_max, flat[num_sums + 2 * r + 1]);
  }
  sum.SetAdditive(flat);
  return sum.Means();
}

absl::StatusOr<StepStats> PolicyStep::Run(const std::vector<TrainGroup>& groups, RolloutGate& gate,
                                          StepGradients& gradients, const InnerPass& pass) const {
  std::vector<const TrainSample*> samples;
  for (const TrainGroup& group : groups) {
    for (const TrainSample& sample : group.samples) samples.push_back(&sample);
  }
  std::vector<PolicyShard> shards =
      SplitGroups(groups, adapter_, TotalsOf(groups, rollout_),
                  {.rank = collective_.rank(), .ranks = collective_.size(), .threads = threads_});
  EVILMOE_ASSIGN_OR_RETURN(const Routing routing, Route(shards, samples, gate, pass.first));
  const bool learns = gate.learns(), ablated = gate.reads() == RolloutFeatures::kActivations;
  EVILMOE_RETURN_IF_ERROR(ForEachShard(shards, [&](PolicyShard& shard) {
    shard.routing = SelectRollouts(routing, shard.sample_index);
    passes_.CompareWithSampler(shard, /*deploy_mode_too=*/!ablated);
    passes_.ForwardBackward(shard, learns);
  }));
  at::Tensor dl_dw =
      Scatter(shards, &PolicyShard::dl_dw_S, at::zeros({static_cast<int64_t>(samples.size())}, passes_.dtype()));
  gradients = SumShards(shards, adapter_.parameters().size());
  EVILMOE_RETURN_IF_ERROR(SumOverRanks(gradients, dl_dw));
  EVILMOE_ASSIGN_OR_RETURN(StepStats stats, SumStats(shards));
  stats.w = Doubles(routing.w);
  stats.deployed_factor = Doubles(routing.into_parameters);
  stats.dl_dw_norm = dl_dw.norm().item<double>();
  if (pass.logprobs != nullptr) CopyLogProbs(shards, samples.size(), *pass.logprobs);
  if (!learns) return stats;
  EVILMOE_ASSIGN_OR_RETURN(const PairFeatures pairs, ReadPairs(gate.reads()));
  return TorchGuard("gate", [&] {
    gate.Backward(dl_dw, pairs, gradients, stats);
    return stats;
  });
}

}  // namespace evilmoe
