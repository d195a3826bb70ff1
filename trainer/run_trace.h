#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"

namespace evilmoe {

// Of a training step, by the trainer's clock, each at or after the one before.
struct StepTimes {
  int64_t step = 0;  // from 1, as in metrics.jsonl
  absl::Time begun, sampled, trained, published;
};

// The spans of one step as lines of Chrome's trace event format, each an event and a comma:
//
//   step          "step" > "sample", "train", "publish", on one track
//   each group    "group" > "queue", "lease", "train" on a track of its own, "lease" > "sample" there, "lease" >
//                 "grade" on the track beside it, since grades begin while samples still go on
//
// `args` of each have `run`, `step` and, of a group's, `group`, which are a span's context, and `span` and `parent`,
// its ids: "step/3", "step/3/group/2/lease". A span lies within its parent's times: a worker's clock may differ from
// the trainer's, so its group's spans are shifted together until they lie between the opening of the batch and the
// arrival of the group, and cut where they are too long for that. A group whose times are not known (InfinitePast) has
// only what is known.
//
// With a policy lag L, the groups of L + 1 steps are under way at once: their tracks are apart.
std::string TraceLines(const StepTimes& times, int max_policy_lag, const std::vector<GroupSamples>& groups,
                       const std::string& run_id);

// trace.json of a run: a JSON array that is never closed, as the format allows, so that lines can be added; Perfetto
// and chrome://tracing open it as it is. Not thread-safe.
class RunTrace {
 public:
  RunTrace(std::filesystem::path file, const TraceConfig& config, std::string run_id)
      : file_(std::move(file)), config_(config), run_id_(std::move(run_id)) {}

  // Drops what was written of steps after `step`: a resumed run writes them again. A file that cannot be read or written
  // is given up.
  void RewindTo(int64_t step);
  // Adds the spans of a step that is to be traced, while the file is below its bound; then one mark that the trace ends
  // there. A file that cannot be written is given up: no run fails for its trace.
  void Step(const StepTimes& times, int max_policy_lag, const std::vector<GroupSamples>& groups);

 private:
  const std::filesystem::path file_;
  const TraceConfig config_;
  const std::string run_id_;
  int64_t num_bytes_ = 0;  // of the file
  bool ended_ = false;
};

}  // namespace evilmoe
