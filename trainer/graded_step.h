#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"
#include "trainer/step_metrics.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// A batch's samples turned into rewards, advantages and the loss's input. No label takes part: the loss sees rewards.
struct GradedStep {
  std::vector<TrainGroup> groups;
  std::vector<SampleRecord> records;  // one a sample, in order of group and sample; w is filled in after the step
  int64_t zero_variance_groups = 0;
};

// InvalidArgument: a sample without tokens, or as many log-probabilities as it has not tokens.
absl::StatusOr<GradedStep> GradeStep(const RunConfig& config, const BatchRequest& batch,
                                     const std::vector<GroupSamples>& samples);

// One line a sample of rollouts/step-N.jsonl.zst.
std::vector<nlohmann::ordered_json> RolloutLines(int64_t step, const BatchRequest& batch,
                                                 const std::vector<GroupSamples>& samples,
                                                 const std::vector<SampleRecord>& records);

}  // namespace evilmoe
