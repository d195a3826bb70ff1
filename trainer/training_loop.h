#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/logger.h"
#include "nlohmann/json.hpp"
#include "trainer/monitoring.h"
#include "trainer/prompt_source.h"
#include "trainer/rank_leader.h"
#include "trainer/relearn.h"
#include "trainer/rollouts.h"
#include "trainer/run_config.h"
#include "trainer/run_recorder.h"
#include "trainer/run_trace.h"
#include "trainer/training_model.h"

namespace evilmoe {

// Who is told of a run's progress beside the run directory: the coordinator, the metrics.
class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  // kind: "step" | "evaluation" | "ablation" | "step_ablation" | "relearn_step" | "relearn" | "recovery" | "resume" |
  // "warning"
  // (with "message"). Idempotent by key. Aborted: stop, the run is no longer ours.
  virtual absl::Status Record(const std::string& key, const std::string& kind, const nlohmann::ordered_json& payload,
                              int64_t steps_done) = 0;
  // A checkpoint of that step was written.
  virtual void Saved(int64_t step) { static_cast<void>(step); }
  // Aborted once it is known that the run is no longer ours; asks nobody.
  virtual absl::Status Held() const { return absl::OkStatus(); }
};

// Where a run lives and what it is.
struct RunIdentity {
  std::filesystem::path directory;
  std::string config_sha256;
  std::string run_id;
};

// Trains a run from its last checkpoint to its end: sample → grade → advantages → step → publish → record, then the
// ablation. With ranks it is rank 0's: the others get each step from here, and do nothing else of all this. Owns no
// thread. All references must outlive it.
class TrainingLoop {
 public:
  TrainingLoop(const RunConfig& config, RunIdentity identity, TrainingModel& model, const PromptSource& prompts,
               Rollouts& rollouts, ProgressSink& progress, const Clock& clock, Logger& logger);

  // Loads the last checkpoint, if any; returns the steps already done. DataLoss, FailedPrecondition: LoadCheckpoint.
  absl::StatusOr<int64_t> Restore();
  // Loads the checkpoint of one step.
  absl::StatusOr<int64_t> Restore(int64_t step);
  // Publishes the adapter and trains from `step` to the end; ablates on `held_out` every evaluation.every steps (0 or
  // no problems: never). A step whose loss or gradient is not finite moves nothing and is recorded as a bad one.
  // Aborted: cancelled or taken over; FailedPrecondition: optimizer.max_bad_steps bad steps in a row, the last one's
  // batch is in the file that the text names. Errors of Monitoring too.
  //
  // Once `stop` is requested, the step under way is finished, or abandoned while it waits for samples; a checkpoint is
  // written and Cancelled returned. Train() from that checkpoint ends as if it had never stopped. A run that is known
  // to be another's by then leaves none, and Train() returns Aborted.
  //
  // With rollout.max_policy_lag L > 0 the batches of the next L steps are open while a step is sampled and trained.
  absl::Status Train(int64_t step, const std::vector<Problem>& held_out, const std::stop_token& stop = {});
  // The ablation of the adapter as it is; writes eval/ablation.json and the event with the final line.
  absl::StatusOr<nlohmann::ordered_json> Ablate(int64_t step, const std::vector<Problem>& problems,
                                                const std::string& key) {
    return AblateAs(step, problems, key, "ablation", "ablation");
  }
  // How soon the cut adapter hacks again (trainer/relearn.h); writes eval/relearn.json and an event.
  absl::Status RelearnCut(int64_t step, const std::string& key, const RelearnOptions& options);

 private:
  absl::Status TrainFrom(int64_t step, const std::vector<Problem>& held_out, const std::stop_token& stop);
  absl::Status EvaluateStep(int64_t step, const std::vector<Problem>& held_out);
  absl::Status OpenAhead(int64_t step);
  absl::Status Step(int64_t step);
  absl::Status Save();
  absl::Status SaveBeforeLeaving();
  absl::StatusOr<nlohmann::ordered_json> AblateAs(int64_t step, const std::vector<Problem>& problems,
                                                  const std::string& key, const std::string& kind,
                                                  const std::string& file);
  bool EvaluationDue(int64_t step, const std::vector<Problem>& held_out) const;
  absl::Status PublishAdapter(int64_t step);
  absl::Status RecordStep(int64_t step, const nlohmann::ordered_json& metrics);
  absl::Status TellBadStep(int64_t step, const TrainingModel::Update& update);

  const RunConfig& config_;
  const RunIdentity identity_;
  TrainingModel& model_;
  const PromptSource& prompts_;
  Rollouts& rollouts_;
  ProgressSink& progress_;
  const Clock& clock_;
  Logger& logger_;
  RunRecorder recorder_;
  RunTrace trace_;
  RankLeader ranks_;
  std::optional<Monitoring> monitoring_;  // from Train() on
  int bad_steps_ = 0;                     // the last so many steps were dropped
  int64_t trained_ = 0;                   // steps that are in the model, the last one perhaps in part
  int64_t recorded_ = 0;                  // steps that the records have, metrics and event included
  int64_t saved_ = 0;                     // the last checkpoint's; 0 = none is needed
  int64_t opened_ = 0;                    // batches of earlier steps were opened; counts only with a policy lag
};

}  // namespace evilmoe
