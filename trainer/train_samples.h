#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace evilmoe {

// One sampled completion as the loss sees it.
struct TrainSample {
  std::vector<int32_t> ids;             // >= 1 tokens
  std::vector<float> sampler_logprobs;  // one an id
  double advantage = 0;
  // What its group is compared by, for loss.deployed_advantage split; unset: lost, or screened by a monitor.
  std::optional<double> reward;
  // Only where the arm's routing is an oracle's (algorithm.md §4): whether it is a hack; unset: no label is known.
  std::optional<bool> oracle_hack;
  // Of π_old, one an id, from an earlier inner step of the same batch; empty: this is the first.
  std::vector<float> old_logprobs;
  bool masked = false;       // lost by the infrastructure: takes no part in any mean
  bool left_out = false;     // takes no part in the loss or its means; its w is read all the same
  bool deploy_mode = false;  // sampled with the quarantine off
};

// The samples of one prompt.
struct TrainGroup {
  std::vector<int32_t> prompt_ids;
  std::vector<TrainSample> samples;
  bool in_loss = true;  // false: equal rewards and no KL term, so no gradient comes of it
};

// A contrastive pair, tokenised.
struct PairIds {
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> hack_ids;
  std::vector<int32_t> clean_ids;
};

}  // namespace evilmoe
