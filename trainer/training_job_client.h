#pragma once

#include <stop_token>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/logger.h"
#include "proto/coordinator_client.h"
#include "trainer/collective.h"
#include "trainer/trainer_config.h"

namespace prometheus {
class Registry;
}

namespace evilmoe {

// Takes one job from the coordinator and does it: a training run from its last checkpoint, or an ablation. What can
// never succeed (a bad config, a broken checkpoint) ends the job as failed; what a fresh start may mend comes back as
// the error, and the job stays the coordinator's to hand out again. So it does when `stop` is requested, the one of
// `coordinator`: a run writes a checkpoint then and has not failed. OK also when there was nothing to do, the job was
// taken over or cancelled, or it was stopped.
//
// With `ranks` this is rank 0: the others follow it (trainer/rank_follower.h) through each training run.
absl::Status DoOneJob(const TrainerConfig& config, CoordinatorClient& coordinator, Collective& ranks,
                      prometheus::Registry& registry, const Clock& clock, Logger& logger, const std::stop_token& stop);

}  // namespace evilmoe
