#include "trainer/rank_leader.h"

#include "common/status_macros.h"
#include "trainer/same_parameters.h"

namespace evilmoe {

absl::Status RankLeader::Tell(const RankMessage& message) {
  if (ranks_.size() == 1) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(ranks_.AwaitTurn());
  return ranks_.Broadcast(EncodeRankMessage(message)).status();
}

absl::StatusOr<TrainingModel::Update> RankLeader::Step(int64_t step, const std::vector<TrainGroup>& groups,
                                                       TrainingModel& model) {
  if (ranks_.size() > 1) EVILMOE_RETURN_IF_ERROR(Tell({RankMessageKind::kStep, "", step, groups}));
  EVILMOE_ASSIGN_OR_RETURN(TrainingModel::Update update, model.Step(step, groups));
  EVILMOE_RETURN_IF_ERROR(CheckSameParameters(model.State(step + 1), update.dropped, ranks_));
  return update;
}

}  // namespace evilmoe
