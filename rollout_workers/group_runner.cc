#include "rollout_workers/group_runner.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {

int GroupRunner::num_running() const {
  int count = 0;
  for (const Lane& lane : lanes_) count += lane.sampler->num_running();
  return count;
}

int GroupRunner::num_samples() const {
  int count = 0;
  for (const Lane& lane : lanes_) count += lane.sampler->num_running() + lane.sampler->num_waiting();
  return count;
}

double GroupRunner::kv_usage() const {
  if (pool_ == nullptr) return 0;
  return static_cast<double>(pool_->num_reserved()) / static_cast<double>(pool_->num_blocks());
}

double GroupRunner::prefix_hit_ratio() const {
  return static_cast<double>(prefix_use_.found) / static_cast<double>(std::max<int64_t>(prefix_use_.needed, 1));
}

absl::Status GroupRunner::HoldPool(const PackedModel& model) {
  const Qwen3Config& c = model.config();
  const KvShape shape{static_cast<int>(c.num_layers), c.num_kv_heads, c.head_dim, model.format()};
  if (pool_ != nullptr && pool_->shape() == shape) return absl::OkStatus();
  if (pool_ != nullptr && !idle()) {
    return absl::ResourceExhaustedError("rollout worker: busy with a network of another shape");
  }
  EVILMOE_ASSIGN_OR_RETURN(pool_, KvPool::Create(shape, options_.kv_budget_bytes));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<GroupSampler>> GroupRunner::MakeSampler(const SamplerModels& models) {
  EVILMOE_RETURN_IF_ERROR(HoldPool(*models.completion));
  return Sampler::Create(models, pool_, {.max_running = options_.max_samples, .threads = options_.threads});
}

absl::StatusOr<std::unique_ptr<GroupSampler>> GroupRunner::MakeSampler(
    const std::shared_ptr<const ExpertModel>& model) const {
  at::set_num_threads(options_.threads);
  return ExpertSampler::Create(model,
                               {.max_running = options_.max_samples, .kv_budget_bytes = options_.kv_budget_bytes});
}

absl::StatusOr<GroupSampler*> GroupRunner::LaneFor(const SamplingModels& models) {
  for (Lane& lane : lanes_) {
    if (lane.models == models) return lane.sampler.get();
  }
  EVILMOE_ASSIGN_OR_RETURN(std::unique_ptr<GroupSampler> sampler,
                           std::visit([this](const auto& some) { return MakeSampler(some); }, models));
  lanes_.push_back({models, std::move(sampler)});
  return lanes_.back().sampler.get();
}

absl::Status GroupRunner::Add(const SampleGroup& group, const SamplingModels& models) {
  if (!idle() && group.num_samples > free_samples()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("rollout worker: ", group.num_samples, " samples, room for ", free_samples()));
  }
  EVILMOE_ASSIGN_OR_RETURN(GroupSampler* const sampler, LaneFor(models));
  const absl::Status added = sampler->Add(group);
  DropIdleLanes();
  return added;
}

void GroupRunner::Cancel(int64_t tag) {
  for (Lane& lane : lanes_) lane.sampler->Cancel(tag);
  DropIdleLanes();
}

absl::StatusOr<std::vector<FinishedSample>> GroupRunner::Step() {
  std::vector<FinishedSample> finished;
  for (Lane& lane : lanes_) {
    EVILMOE_ASSIGN_OR_RETURN(std::vector<FinishedSample> ended, lane.sampler->Step());
    const PrefixUse use = lane.sampler->TakePrefixUse();
    prefix_use_.needed += use.needed;
    prefix_use_.found += use.found;
    for (FinishedSample& sample : ended) finished.push_back(std::move(sample));
  }
  DropIdleLanes();
  return finished;
}

void GroupRunner::DropIdleLanes() {
  std::erase_if(lanes_, [](const Lane& lane) { return lane.sampler->idle(); });
}

}  // namespace evilmoe
