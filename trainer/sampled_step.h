#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "trainer/graded_step.h"
#include "trainer/monitoring.h"
#include "trainer/prompt_source.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"

namespace evilmoe {

// The samples that a step trains on, graded.
struct SampledStep {
  BatchRequest batch;
  std::vector<GroupSamples> samples;
  std::vector<MonitorVerdict> verdicts;
  GradedStep graded;
  int64_t resampled_groups = 0;                 // drawn in place of groups whose rewards were all equal
  std::map<std::string, int64_t> judge_counts;  // requests of all draws by outcome
  double sample_seconds = 0, monitor_seconds = 0;
};

// Draws, samples, watches and grades the prompts of a step. With loss.zero_variance resample, groups whose rewards are
// all equal are replaced by groups of other prompts, at most loss.resample_rounds times (Yu et al. 2025, DAPO, dynamic
// sampling; there the batch grows until it is full, here its size and shares of deploy mode and unhackable prompts
// stay). Errors of Rollouts, Monitoring and GradeStep; Internal: a sample of a policy that the batch does not allow.
absl::StatusOr<SampledStep> SampleStep(const RunConfig& config, const PromptSource& prompts, int64_t step,
                                       Rollouts& rollouts, Monitoring& monitoring, const Clock& clock);

}  // namespace evilmoe
