#include "rollout_workers/local_rollouts.h"

#include <utility>

#include "common/hash.h"
#include "common/status_macros.h"

namespace evilmoe {

absl::StatusOr<std::unique_ptr<LocalRollouts>> LocalRollouts::Create(const std::filesystem::path& model, int threads,
                                                                     Judge judge) {
  std::unique_ptr<LocalRollouts> rollouts(new LocalRollouts(threads, std::move(judge)));
  EVILMOE_RETURN_IF_ERROR(rollouts->policies_.UseModel(model));
  return rollouts;
}

absl::Status LocalRollouts::Publish(int64_t step, const std::string& adapter_bytes) {
  adapter_step_ = step;
  adapter_sha256_ = Sha256Hex(adapter_bytes);
  return policies_.Put(adapter_sha256_, adapter_bytes);
}

absl::StatusOr<std::vector<GroupSamples>> LocalRollouts::Run(const BatchRequest& batch) {
  if (adapter_sha256_.empty()) return absl::FailedPreconditionError("rollouts: no adapter was published");
  std::vector<GroupSamples> groups;
  for (size_t g = 0; g < batch.groups.size(); ++g) {
    const GroupRequest& request = batch.groups[g];
    EVILMOE_ASSIGN_OR_RETURN(const PolicyModels policy, policies_.Models(adapter_sha256_, request.mode));
    EVILMOE_RETURN_IF_ERROR(runner_.Add({.tag = static_cast<int64_t>(g),
                                         .prompt_ids = request.prompt_ids,
                                         .num_samples = request.num_samples,
                                         .seed = request.seed,
                                         .prompt_w = policy.prompt_w,
                                         .completion_w = policy.completion_w,
                                         .settings = batch.sampling},
                                        policy.models));
    groups.push_back({.index = request.index,
                      .samples = std::vector<Sample>(static_cast<size_t>(request.num_samples)),
                      .policy_step = adapter_step_});
  }
  while (!runner_.idle()) {
    EVILMOE_ASSIGN_OR_RETURN(std::vector<FinishedSample> finished, runner_.Step());
    for (FinishedSample& sample : finished) {
      const auto group = static_cast<size_t>(sample.tag);
      const std::string text = policies_.tokenizer().Decode(sample.ids, /*skip_special=*/true);
      groups[group].samples[static_cast<size_t>(sample.sample)] = {
          .ids = std::move(sample.ids),
          .logprobs = std::move(sample.logprobs),
          .text = text,
          .stopped = sample.stopped,
          .facts = judge_(batch.groups[group], sample.sample, text)};
    }
  }
  return groups;
}

}  // namespace evilmoe
