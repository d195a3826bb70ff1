#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "policy/lora2r.h"
#include "policy/lora2r_forward.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_loss.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// What one thread works on: some of a step's groups, and what came of them.
// Legend: S the shard's samples that were not lost, C their completion rows, D router features.
struct PolicyShard {
  std::vector<const TrainGroup*> groups;
  std::vector<const TrainSample*> samples;  // unmasked, in order
  std::vector<int64_t> sample_index;        // of each in the step
  std::vector<bool> in_loss;
  LossTotals totals;  // of the whole step

  at::Tensor features_SD;  // of `samples`
  at::Tensor w_S;          // set between the phases
  AdapterLeaves leaves;
  at::Tensor dl_dw_S;
  double loss = 0, entropy = 0, kl = 0, clip_low = 0, clip_high = 0, loss_tokens = 0;
  int64_t masked_sequences = 0;
  double ratio_sum = 0, ratio_max = 0;
  double difference_sum = 0, difference_max = 0, difference_tokens = 0;
  int64_t tokens = 0;

  // Completions for which keep(i) holds, with their prompts; `kept` receives their positions in `samples`.
  template <typename Keep>
  std::vector<PromptCompletions> Select(Keep keep, std::vector<int64_t>& kept) const {
    std::vector<PromptCompletions> out;
    size_t i = 0;
    for (const TrainGroup* group : groups) {
      PromptCompletions selected{.prompt = &group->prompt_ids};
      for (const TrainSample& sample : group->samples) {
        if (sample.masked) continue;
        if (keep(i)) {
          selected.completions.push_back(&sample.ids);
          kept.push_back(static_cast<int64_t>(i));
        }
        ++i;
      }
      if (!selected.completions.empty()) out.push_back(std::move(selected));
    }
    return out;
  }

  // Of the chosen samples (positions in `samples`), and of all their tokens in order.
  at::Tensor Advantages(const std::vector<int64_t>& chosen) const;
  at::Tensor SamplerLogProbs(const std::vector<int64_t>& chosen) const;
  // |trainer − sampler| over rows that belong to completions owner_C of the chosen samples.
  void CompareWithSampler(const at::Tensor& logp_C, const at::Tensor& owner_C, const std::vector<int64_t>& chosen);
};

// Spreads the groups over at most `threads` shards, the next group to the shard with the fewest tokens. `groups` must
// outlive the shards.
std::vector<PolicyShard> SplitGroups(const std::vector<TrainGroup>& groups, const Lora2r& adapter,
                                     const LossTotals& totals, int threads);

}  // namespace evilmoe
