#include "trainer/rank_leader.h"

#include "common/status_macros.h"

namespace evilmoe {

absl::Status RankLeader::Tell(const RankMessage& message) {
  if (ranks_.size() == 1) return absl::OkStatus();
  EVILMOE_RETURN_IF_ERROR(ranks_.AwaitTurn());
  return ranks_.Broadcast(EncodeRankMessage(message)).status();
}

}  // namespace evilmoe
