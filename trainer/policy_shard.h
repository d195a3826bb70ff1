#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "policy/routing.h"
#include "trainer/advantages.h"
#include "trainer/policy_batch.h"
#include "trainer/policy_loss.h"
#include "trainer/step_memory.h"
#include "trainer/step_stats.h"
#include "trainer/train_samples.h"
#include "trainer/trained_adapter.h"

namespace evilmoe {

// Sums over tokens and samples that a step's metrics are made of.
struct ShardStats {
  double loss = 0, entropy = 0, kl = 0, clip_low = 0, clip_high = 0, loss_tokens = 0;
  double ratio_sum = 0, difference_sum = 0, difference_tokens = 0;
  double masked_sequences = 0, tokens = 0;
  double ratio_max = 0, difference_max = 0;
  AdapterPassStats adapter;

  void Add(const ShardStats& other);
  // All but the maxima, in a fixed order; SetAdditive takes as many from the front.
  std::vector<double> Additive() const;
  void SetAdditive(const std::vector<double>& values);
  StepStats Means() const;
};

// A run of whole groups, as positions in PolicyShard::samples.
struct ShardPart {
  size_t begin = 0, end = 0;
  int64_t rows = 0;  // packed, with a prompt a group
  bool Has(size_t i) const { return i >= begin && i < end; }
};

// What one thread works on: some of a step's groups, and what came of them.
// Legend: S the shard's samples that were not lost, C their completion rows, D router features.
struct PolicyShard {
  std::vector<const TrainGroup*> groups;
  std::vector<const TrainSample*> samples;  // unmasked, in order
  std::vector<int64_t> sample_index;        // of each in the step
  std::vector<bool> in_loss;
  LossTotals totals;  // of the whole step

  at::Tensor features_SD;  // of `samples`
  Routing routing;         // of `samples`; set between the phases
  std::unique_ptr<AdapterReplica> replica;
  at::Tensor dl_dw_S;            // undefined where the gate learns nothing
  std::vector<at::Tensor> logp;  // of each sample in the loss, where a later inner step will ask for it
  ShardStats stats;

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

  // All samples, group by group in order; a group larger than kPartRows is a part of its own.
  std::vector<ShardPart> Parts() const;

  // Of the chosen samples (positions in `samples`), and of all their tokens in order.
  at::Tensor Advantages(const std::vector<int64_t>& chosen, at::ScalarType dtype) const;
  at::Tensor SamplerLogProbs(const std::vector<int64_t>& chosen, at::ScalarType dtype) const;
  std::vector<int64_t> Lengths(const std::vector<int64_t>& chosen) const;
  // Of the first inner step; undefined in it.
  at::Tensor OldLogProbs(const std::vector<int64_t>& chosen, at::ScalarType dtype) const;
  // D's own advantages at this step's w (trainer/advantages.h).
  at::Tensor DeployedAdvantages(const std::vector<int64_t>& chosen, AdvantageKind kind, at::ScalarType dtype) const;
  // |trainer − sampler| over rows that belong to completions owner_C of the chosen samples.
  void CompareWithSampler(const at::Tensor& logp_C, const at::Tensor& owner_C, const std::vector<int64_t>& chosen);
};

// The numbers of some of a step's rollouts, in this order.
Routing SelectRollouts(const Routing& routing, const std::vector<int64_t>& rollouts);

// Who works on a step: `threads` shards on each of `ranks`.
struct StepShare {
  int rank = 0;  // [0, ranks)
  int ranks = 1;
  int threads = 1;
};

// Spreads the groups over all shards of all ranks, the next group to the shard with the fewest tokens, and returns this
// rank's; some may be empty. `groups` must outlive them.
std::vector<PolicyShard> SplitGroups(const std::vector<TrainGroup>& groups, const TrainedAdapter& adapter,
                                     const LossTotals& totals, const StepShare& share);

}  // namespace evilmoe
