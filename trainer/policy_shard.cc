#include "trainer/policy_shard.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace evilmoe {

namespace {

at::Tensor TensorOf(const std::vector<double>& values, at::ScalarType dtype) {
  return at::tensor(values, at::kDouble).to(dtype);
}

}  // namespace

namespace {

// The additive fields, in one order.
constexpr double ShardStats::*kAdditive[] = {&ShardStats::loss,
                                             &ShardStats::entropy,
                                             &ShardStats::kl,
                                             &ShardStats::clip_low,
                                             &ShardStats::clip_high,
                                             &ShardStats::loss_tokens,
                                             &ShardStats::ratio_sum,
                                             &ShardStats::difference_sum,
                                             &ShardStats::difference_tokens,
                                             &ShardStats::masked_sequences,
                                             &ShardStats::tokens};

}  // namespace

void ShardStats::Add(const ShardStats& other) {
  for (const auto field : kAdditive) this->*field += other.*field;
  adapter.balance += other.adapter.balance;
  adapter.dispatches.resize(other.adapter.dispatches.size());
  for (size_t e = 0; e < adapter.dispatches.size(); ++e) adapter.dispatches[e] += other.adapter.dispatches[e];
  ratio_max = std::max(ratio_max, other.ratio_max);
  difference_max = std::max(difference_max, other.difference_max);
}

std::vector<double> ShardStats::Additive() const {
  std::vector<double> values;
  for (const auto field : kAdditive) values.push_back(this->*field);
  values.push_back(adapter.balance);
  values.insert(values.end(), adapter.dispatches.begin(), adapter.dispatches.end());
  return values;
}

void ShardStats::SetAdditive(const std::vector<double>& values) {
  size_t i = 0;
  for (const auto field : kAdditive) this->*field = values[i++];
  adapter.balance = values[i++];
  for (double& dispatches : adapter.dispatches) dispatches = values[i++];
}

StepStats ShardStats::Means() const {
  StepStats stats;
  const double per_token = loss_tokens > 0 ? 1 / loss_tokens : 0;
  stats.loss = loss;
  stats.balance_loss = adapter.balance;
  const double dispatches = std::accumulate(adapter.dispatches.begin(), adapter.dispatches.end(), 0.0);
  for (const double of_expert : adapter.dispatches) {
    stats.expert_load.push_back(dispatches > 0 ? of_expert / dispatches : 0);
  }
  stats.entropy = entropy * per_token;
  stats.clip_low = clip_low * per_token;
  stats.clip_high = clip_high * per_token;
  if (loss_tokens > 0) {
    stats.ratio_mean = ratio_sum * per_token;
    stats.kl = kl * per_token;
  }
  stats.ratio_max = std::max(stats.ratio_max, ratio_max);
  if (difference_tokens > 0) stats.logp_difference_mean = difference_sum / difference_tokens;
  stats.logp_difference_max = difference_max;
  stats.masked_sequences = static_cast<int64_t>(masked_sequences);
  stats.tokens = static_cast<int64_t>(tokens);
  return stats;
}

std::vector<ShardPart> PolicyShard::Parts() const {
  std::vector<ShardPart> parts;
  size_t position = 0;
  for (const TrainGroup* group : groups) {
    int64_t rows = static_cast<int64_t>(group->prompt_ids.size()) - 1;  // the last one stands in each completion
    const size_t begin = position;
    for (const TrainSample& sample : group->samples) {
      if (sample.masked) continue;
      rows += static_cast<int64_t>(sample.ids.size());
      ++position;
    }
    if (position == begin) continue;
    if (parts.empty() || parts.back().rows + rows > kPartRows) parts.push_back({.begin = begin});
    parts.back().end = position;
    parts.back().rows += rows;
  }
  return parts;
}

at::Tensor PolicyShard::Advantages(const std::vector<int64_t>& chosen, at::ScalarType dtype) const {
  std::vector<double> values;
  for (const int64_t i : chosen) values.push_back(samples[static_cast<size_t>(i)]->advantage);
  return TensorOf(values, dtype);
}

at::Tensor PolicyShard::SamplerLogProbs(const std::vector<int64_t>& chosen, at::ScalarType dtype) const {
  std::vector<double> values;
  for (const int64_t i : chosen) {
    const std::vector<float>& one = samples[static_cast<size_t>(i)]->sampler_logprobs;
    values.insert(values.end(), one.begin(), one.end());
  }
  return TensorOf(values, dtype);
}

std::vector<int64_t> PolicyShard::Lengths(const std::vector<int64_t>& chosen) const {
  std::vector<int64_t> lengths;
  for (const int64_t i : chosen) lengths.push_back(static_cast<int64_t>(samples[static_cast<size_t>(i)]->ids.size()));
  return lengths;
}

at::Tensor PolicyShard::OldLogProbs(const std::vector<int64_t>& chosen, at::ScalarType dtype) const {
  std::vector<double> values;
  for (const int64_t i : chosen) {
    const std::vector<float>& one = samples[static_cast<size_t>(i)]->old_logprobs;
    if (one.empty()) return {};
    values.insert(values.end(), one.begin(), one.end());
  }
  return TensorOf(values, dtype);
}

at::Tensor PolicyShard::DeployedAdvantages(const std::vector<int64_t>& chosen, AdvantageKind kind,
                                           at::ScalarType dtype) const {
  const at::Tensor w = routing.w.to(at::kDouble).contiguous();
  std::vector<double> all;  // of `samples`
  for (const TrainGroup* group : groups) {
    std::vector<std::optional<double>> rewards;
    std::vector<double> weights;
    for (const TrainSample& sample : group->samples) {
      if (sample.masked) continue;
      rewards.push_back(sample.reward);
      weights.push_back(1 - w.const_data_ptr<double>()[all.size() + weights.size()]);
    }
    const std::vector<double> advantages = evilmoe::DeployedAdvantages(rewards, weights, kind);
    all.insert(all.end(), advantages.begin(), advantages.end());
  }
  std::vector<double> values;
  for (const int64_t i : chosen) values.push_back(all[static_cast<size_t>(i)]);
  return TensorOf(values, dtype);
}

void PolicyShard::CompareWithSampler(const at::Tensor& logp_C, const at::Tensor& owner_C,
                                     const std::vector<int64_t>& chosen) {
  const at::Tensor wide = logp_C.to(at::kCPU, at::kDouble).contiguous(), owner = owner_C.to(at::kCPU);
  const double* mine = wide.const_data_ptr<double>();
  const int64_t* owners = owner.const_data_ptr<int64_t>();
  std::vector<size_t> position(chosen.size(), 0);
  for (int64_t row = 0; row < logp_C.numel(); ++row) {
    const auto c = static_cast<size_t>(owners[row]);
    const TrainSample& sample = *samples[static_cast<size_t>(chosen[c])];
    const double difference = std::abs(mine[row] - sample.sampler_logprobs[position[c]++]);
    stats.difference_sum += difference;
    stats.difference_max = std::max(stats.difference_max, difference);
    stats.difference_tokens += 1;
  }
}

Routing SelectRollouts(const Routing& routing, const std::vector<int64_t>& rollouts) {
  const at::Tensor index = at::tensor(rollouts, at::kLong);
  return {routing.w.index_select(0, index), routing.into_inputs.index_select(0, index),
          routing.into_parameters.index_select(0, index)};
}

std::vector<PolicyShard> SplitGroups(const std::vector<TrainGroup>& groups, const TrainedAdapter& adapter,
                                     const LossTotals& totals, const StepShare& share) {
  std::vector<double> load;  // tokens of each group
  for (const TrainGroup& group : groups) {
    load.push_back(static_cast<double>(group.prompt_ids.size()));
    for (const TrainSample& sample : group.samples) {
      if (!sample.masked) load.back() += static_cast<double>(sample.ids.size());
    }
  }
  // Shard b is on rank b % ranks, so that few groups are on different ranks before they are on different threads.
  const auto ranks = static_cast<size_t>(share.ranks);
  std::vector<PolicyShard> shards(static_cast<size_t>(share.threads));
  std::vector<double> filled(shards.size() * ranks, 0.0);
  int64_t index = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto lightest = static_cast<size_t>(std::min_element(filled.begin(), filled.end()) - filled.begin());
    filled[lightest] += load[g];
    if (lightest % ranks != static_cast<size_t>(share.rank)) {
      index += static_cast<int64_t>(groups[g].samples.size());
      continue;
    }
    PolicyShard& shard = shards[lightest / ranks];
    shard.groups.push_back(&groups[g]);
    for (const TrainSample& sample : groups[g].samples) {
      if (!sample.masked) {
        shard.samples.push_back(&sample);
        shard.sample_index.push_back(index);
        shard.in_loss.push_back(groups[g].in_loss && !sample.left_out);
      }
      ++index;
    }
  }
  for (PolicyShard& shard : shards) {
    shard.totals = totals;
    shard.replica = adapter.Replica();
    shard.stats.adapter.dispatches.assign(static_cast<size_t>(adapter.num_experts()), 0.0);
  }
  return shards;
}

}  // namespace evilmoe
