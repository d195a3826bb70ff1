#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "trainer/collective.h"
#include "trainer/rank_messages.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// Rank 0's side of rank_messages.h. In a run of one rank it says nothing. Errors: those of Collective, and what
// Broadcast says of a step that is too long.
class RankLeader {
 public:
  explicit RankLeader(Collective& ranks) : ranks_(ranks) {}  // must outlive this

  absl::Status StartJob(const std::string& run_yaml) { return Tell({RankMessageKind::kJob, run_yaml, 0, {}}); }
  absl::Status Restore(int64_t step) { return Tell({RankMessageKind::kRestore, "", step, {}}); }
  absl::Status Step(int64_t step, const std::vector<TrainGroup>& groups) {
    return Tell({RankMessageKind::kStep, "", step, groups});
  }
  absl::Status EndJob() { return Tell({RankMessageKind::kEndJob, "", 0, {}}); }
  absl::Status Leave() { return Tell({RankMessageKind::kLeave, "", 0, {}}); }

 private:
  absl::Status Tell(const RankMessage& message);

  Collective& ranks_;
};

}  // namespace evilmoe
