#include "trainer/sampled_step.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace evilmoe {
namespace {

double SecondsSince(absl::Time start, const Clock& clock) { return absl::ToDoubleSeconds(clock.Now() - start); }

// Every sample is of a policy that the batch allows. Else the loss would take it for another's.
absl::Status CheckPolicies(const BatchRequest& batch, const std::vector<GroupSamples>& samples) {
  const int64_t oldest = batch.step - batch.max_policy_lag;
  for (const GroupSamples& group : samples) {
    if (!group.policy_step || (*group.policy_step >= oldest && *group.policy_step <= batch.step)) continue;
    return absl::InternalError(absl::StrCat("batch ", batch.key, ": group ", group.index,
                                            " was sampled with the adapter of step ", *group.policy_step,
                                            ", expected one of steps ", oldest, " to ", batch.step));
  }
  return absl::OkStatus();
}

// Samples `batch` into `step`: group i in place of the step's group places[i], or all as its first groups where there
// are none yet.
absl::Status Draw(const BatchRequest& batch, const std::vector<int64_t>& places, Rollouts& rollouts,
                  Monitoring& monitoring, const Clock& clock, SampledStep& step) {
  const absl::Time start = clock.Now();
  EVILMOE_ASSIGN_OR_RETURN(std::vector<GroupSamples> samples, rollouts.Run(batch));
  EVILMOE_RETURN_IF_ERROR(CheckPolicies(batch, samples));
  step.sample_seconds += SecondsSince(start, clock);
  const absl::Time sampled = clock.Now();
  EVILMOE_ASSIGN_OR_RETURN(std::vector<MonitorVerdict> verdicts, monitoring.Watch(batch, samples));
  step.monitor_seconds += SecondsSince(sampled, clock);
  for (const auto& [what, count] : monitoring.LastCounts()) step.judge_counts[what] += count;
  if (step.samples.empty()) {
    step.batch = batch;
    step.samples = std::move(samples);
    step.verdicts = std::move(verdicts);
    return absl::OkStatus();
  }
  const auto group_size = static_cast<int64_t>(samples.empty() ? 0 : samples[0].samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t index = places[i];
    GroupRequest& group = step.batch.groups[static_cast<size_t>(index)];
    group = batch.groups[i];
    group.index = samples[i].index = index;
    step.samples[static_cast<size_t>(index)] = std::move(samples[i]);
    if (verdicts.empty()) continue;
    std::move(verdicts.begin() + static_cast<int64_t>(i) * group_size,
              verdicts.begin() + static_cast<int64_t>(i + 1) * group_size, step.verdicts.begin() + index * group_size);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SampledStep> SampleStep(const RunConfig& config, const PromptSource& prompts, int64_t step,
                                       Rollouts& rollouts, Monitoring& monitoring, const Clock& clock) {
  SampledStep sampled;
  EVILMOE_RETURN_IF_ERROR(Draw(prompts.Step(step), {}, rollouts, monitoring, clock, sampled));
  EVILMOE_ASSIGN_OR_RETURN(sampled.graded, GradeStep(config, sampled.batch, sampled.samples, sampled.verdicts));
  if (config.loss.zero_variance != "resample") return sampled;
  const int64_t zero_variance_groups = sampled.graded.zero_variance_groups;
  for (int round = 1; round <= config.loss.resample_rounds; ++round) {
    const std::vector<int64_t> equal = sampled.graded.ZeroVariance();
    if (equal.empty()) break;
    EVILMOE_RETURN_IF_ERROR(
        Draw(prompts.Replacements(step, round, equal), equal, rollouts, monitoring, clock, sampled));
    sampled.resampled_groups += static_cast<int64_t>(equal.size());
    EVILMOE_ASSIGN_OR_RETURN(sampled.graded, GradeStep(config, sampled.batch, sampled.samples, sampled.verdicts));
  }
  sampled.graded.zero_variance_groups = zero_variance_groups;  // as drawn first
  return sampled;
}

}  // namespace evilmoe
