#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainer/collective.h"
#include "trainer/rank_messages.h"
#include "trainer/train_samples.h"
#include "trainer/training_model.h"

namespace evilmoe {

// Rank 0's side of rank_messages.h. In a run of one rank it says nothing. Errors: those of Collective, what Broadcast
// says of a step that is too long, and those of TrainingModel::Step and CheckSameParameters.
class RankLeader {
 public:
  explicit RankLeader(Collective& ranks) : ranks_(ranks) {}  // must outlive this

  // `run_directory`: as the other ranks, on this host too, find it; empty: that of their own options.
  absl::Status StartJob(const std::string& run_yaml, const std::string& run_directory = "") {
    return Tell({RankMessageKind::kJob, run_yaml, 0, {}, run_directory});
  }
  absl::Status Restore(int64_t step) { return Tell({RankMessageKind::kRestore, "", step, {}}); }
  // Makes the step on every rank, this one too, and checks that they end with the same parameters.
  absl::StatusOr<TrainingModel::Update> Step(int64_t step, const std::vector<TrainGroup>& groups, TrainingModel& model);
  absl::Status EndJob() { return Tell({RankMessageKind::kEndJob, "", 0, {}}); }
  absl::Status Leave() { return Tell({RankMessageKind::kLeave, "", 0, {}}); }

 private:
  absl::Status Tell(const RankMessage& message);

  Collective& ranks_;
};

}  // namespace evilmoe
