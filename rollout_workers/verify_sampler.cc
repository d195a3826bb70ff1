#include "rollout_workers/verify_sampler.h"

#include <ATen/ATen.h>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "policy/torch_guard.h"
#include "trainer/prompt_source.h"

namespace evilmoe {
namespace {

constexpr double kLimit = 5e-4;  // nats, fp32 on both sides, sums in another order

at::Tensor SamplerLogProbs(const std::vector<GroupSamples>& samples) {
  std::vector<float> out;
  for (const GroupSamples& group : samples) {
    for (const Sample& sample : group.samples) out.insert(out.end(), sample.logprobs.begin(), sample.logprobs.end());
  }
  return at::tensor(out, at::kFloat);
}

absl::StatusOr<Finding> Compare(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter,
                                LocalRollouts& sampler, BatchRequest batch, AdapterPart part, const char* name) {
  const bool full = part == AdapterPart::kFull;
  const bool whole_prompt = PromptUsesAdapter(config);
  for (GroupRequest& group : batch.groups) group.mode = {.part = part, .prompt_uses_adapter = whole_prompt};
  EVILMOE_ASSIGN_OR_RETURN(const std::vector<GroupSamples> samples, sampler.Run(batch));
  const KnownRollouts rollouts = RolloutsOf(batch, samples);
  return TorchGuard(name, [&] {
    const at::Tensor sampled = SamplerLogProbs(samples);
    const auto difference = [&](double w) {
      const at::Tensor w_S = at::full({rollouts.num_completions()}, w, at::kFloat);
      return LargestDifference(sampled, RoutedLogProbs(base, adapter, rollouts.Batch(), w_S, whole_prompt && w == 1,
                                                       config.rollout.temperature));
    };
    const double other = difference(full ? 0 : 1);
    return Finding{.name = name,
                   .checked = absl::StrCat("largest |Δ log-prob| of ", rollouts.num_tokens(), " sampled tokens, ",
                                           full ? "trainer at w = 1" : "trainer at w = 0", " (", other,
                                           full ? " without Q)" : " with Q)"),
                   .figure = difference(full ? 1 : 0),
                   .limit = kLimit,
                   .problem = other > 2 * kLimit ? "" : "Q changes too little to tell the two apart"};
  });
}

}  // namespace

KnownRollouts RolloutsOf(const BatchRequest& batch, const std::vector<GroupSamples>& samples) {
  KnownRollouts rollouts;
  for (size_t g = 0; g < samples.size(); ++g) {
    rollouts.groups.push_back({.prompt = batch.groups[g].prompt_ids});
    for (const Sample& sample : samples[g].samples) rollouts.groups.back().completions.push_back(sample.ids);
  }
  return rollouts;
}

void VerifySampler(const RunConfig& config, const Qwen3Weights& base, const Lora2r& adapter, LocalRollouts& sampler,
                   const BatchRequest& batch, const FindingSink& found) {
  const Lora2r trained = adapter.Clone();
  Perturb(trained, Expert::kDeployed, 1'000'000);
  Perturb(trained, Expert::kQuarantine, 2'000'000);
  const absl::StatusOr<std::string> bytes = trained.Serialize();
  const absl::Status published = bytes.ok() ? sampler.Publish(0, *bytes) : bytes.status();
  for (const auto& [part, name] : {std::pair{AdapterPart::kFull, "sampler = trainer, w = 1"},
                                   std::pair{AdapterPart::kQuarantineOff, "sampler = trainer, Q off"}}) {
    const absl::StatusOr<Finding> finding =
        published.ok() ? Compare(config, base, trained, sampler, batch, part, name) : published;
    found(finding.ok() ? *finding : Unchecked(name, finding.status()));
  }
}

}  // namespace evilmoe
