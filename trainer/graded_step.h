#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "trainer/ground_truth_monitor.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"
#include "trainer/step_metrics.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// A number of its own for each sample of a step, for draws from a counter-based stream; groups have less than 2^20
// samples.
inline uint64_t SamplePlace(int64_t group, size_t sample) { return (static_cast<uint64_t>(group) << 20) | sample; }

// A batch's samples turned into rewards, advantages and the loss's input. No label takes part but where the arm's
// routing is an oracle's (gradient_routing, sgtm): the loss sees rewards, and what a monitor said (algorithm.md §4). A
// flagged sample loses monitor.penalty of its reward (penalty), or gets advantage 0 and leaves its group's statistics
// (screening); one without a verdict is masked.
struct GradedStep {
  std::vector<TrainGroup> groups;
  std::vector<SampleRecord> records;  // one a sample, in order of group and sample; w is filled in after the step
  int64_t zero_variance_groups = 0;
  std::vector<bool> zero_variance;  // one a group

  std::vector<int64_t> ZeroVariance() const;  // the groups of zero_variance
};

// `verdicts`: empty (no monitor), or one a sample in order of group and sample. InvalidArgument: a sample without
// tokens, or with another number of log-probabilities than tokens.
absl::StatusOr<GradedStep> GradeStep(const RunConfig& config, const BatchRequest& batch,
                                     const std::vector<GroupSamples>& samples,
                                     const std::vector<MonitorVerdict>& verdicts = {});

// The only source of labels for a monitor: one a sample that was not lost, in order of group and sample.
std::vector<OracleLabel> OracleLabelsOf(const std::vector<GroupSamples>& samples);

// One line a sample of rollouts/step-N.jsonl.zst.
std::vector<nlohmann::ordered_json> RolloutLines(int64_t step, const BatchRequest& batch,
                                                 const std::vector<GroupSamples>& samples,
                                                 const std::vector<SampleRecord>& records,
                                                 const std::vector<MonitorVerdict>& verdicts = {});

}  // namespace evilmoe
