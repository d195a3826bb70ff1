#pragma once

#include <stop_token>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/logger.h"
#include "proto/coordinator_client.h"
#include "trainer/trainer_config.h"

namespace prometheus {
class Registry;
}

namespace evilmoe {

// Takes one job from the coordinator and does it: a training run from its last checkpoint, or an ablation. What can
// never succeed (a bad config, a broken checkpoint) ends the job as failed; what a fresh start may mend comes back as
// the error, and the job stays the coordinator's to hand out again. OK also when there was nothing to do or the job was
// taken over or cancelled.
absl::Status DoOneJob(const TrainerConfig& config, CoordinatorClient& coordinator, prometheus::Registry& registry,
                      const Clock& clock, Logger& logger);

}  // namespace evilmoe
