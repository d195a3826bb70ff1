#include "rollout_workers/group_runner.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

// Caches are sized in steps, so that prompts of like length share a sampler.
constexpr int64_t kLengthStep = 64;

}  // namespace

GroupRunner::Lane& GroupRunner::LaneFor(const SampleGroup& group, const PolicyCache::WeightsPair& weights) {
  const int64_t need = static_cast<int64_t>(group.prompt_ids.size()) + group.settings.max_tokens;
  for (Lane& lane : lanes_) {
    if (lane.weights.prompt == weights.prompt && lane.weights.completion == weights.completion &&
        need <= lane.max_length && group.num_samples <= lane.sampler->free_slots()) {
      return lane;
    }
  }
  const int64_t length = (need + kLengthStep - 1) / kLengthStep * kLengthStep;
  lanes_.push_back({weights, length,
                    std::make_unique<Sampler>(weights.prompt, weights.completion,
                                              std::max(max_samples_, group.num_samples), length)});
  return lanes_.back();
}

absl::Status GroupRunner::Add(const SampleGroup& group, const PolicyCache::WeightsPair& weights) {
  if (running_ > 0 && group.num_samples > free_samples()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("rollout worker: ", group.num_samples, " samples, room for ", free_samples()));
  }
  EVILMOE_RETURN_IF_ERROR(LaneFor(group, weights).sampler->Add(group));
  running_ += group.num_samples;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FinishedSample>> GroupRunner::Step() {
  std::vector<FinishedSample> finished;
  for (Lane& lane : lanes_) {
    EVILMOE_ASSIGN_OR_RETURN(std::vector<FinishedSample> ended, lane.sampler->Step());
    for (FinishedSample& sample : ended) finished.push_back(std::move(sample));
  }
  running_ -= static_cast<int>(finished.size());
  std::erase_if(lanes_, [](const Lane& lane) { return lane.sampler->idle(); });
  return finished;
}

}  // namespace evilmoe
