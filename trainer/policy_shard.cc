#include "trainer/policy_shard.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace evilmoe {

at::Tensor PolicyShard::Advantages(const std::vector<int64_t>& chosen) const {
  std::vector<float> values;
  for (const int64_t i : chosen) values.push_back(static_cast<float>(samples[static_cast<size_t>(i)]->advantage));
  return at::tensor(values, at::kFloat);
}

at::Tensor PolicyShard::SamplerLogProbs(const std::vector<int64_t>& chosen) const {
  std::vector<float> values;
  for (const int64_t i : chosen) {
    const std::vector<float>& one = samples[static_cast<size_t>(i)]->sampler_logprobs;
    values.insert(values.end(), one.begin(), one.end());
  }
  return at::tensor(values, at::kFloat);
}

void PolicyShard::CompareWithSampler(const at::Tensor& logp_C, const at::Tensor& owner_C,
                                     const std::vector<int64_t>& chosen) {
  const float* mine = logp_C.const_data_ptr<float>();
  const int64_t* owner = owner_C.const_data_ptr<int64_t>();
  std::vector<size_t> position(chosen.size(), 0);
  for (int64_t row = 0; row < logp_C.numel(); ++row) {
    const auto c = static_cast<size_t>(owner[row]);
    const TrainSample& sample = *samples[static_cast<size_t>(chosen[c])];
    const double difference = std::abs(mine[row] - sample.sampler_logprobs[position[c]++]);
    difference_sum += difference;
    difference_max = std::max(difference_max, difference);
    difference_tokens += 1;
  }
}

std::vector<PolicyShard> SplitGroups(const std::vector<TrainGroup>& groups, const Lora2r& adapter,
                                     const LossTotals& totals, int threads) {
  std::vector<double> load;  // tokens of each group
  for (const TrainGroup& group : groups) {
    load.push_back(static_cast<double>(group.prompt_ids.size()));
    for (const TrainSample& sample : group.samples) {
      if (!sample.masked) load.back() += static_cast<double>(sample.ids.size());
    }
  }
  std::vector<PolicyShard> shards(
      static_cast<size_t>(std::min<int64_t>(std::max(1, threads), static_cast<int64_t>(groups.size()))));
  std::vector<double> filled(shards.size(), 0.0);
  int64_t index = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    const auto lightest = static_cast<size_t>(std::min_element(filled.begin(), filled.end()) - filled.begin());
    PolicyShard& shard = shards[lightest];
    filled[lightest] += load[g];
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
    shard.leaves = MakeLeaves(adapter);
  }
  return shards;
}

}  // namespace evilmoe
