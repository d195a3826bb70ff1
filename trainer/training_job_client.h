#pragma once

#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "common/clock.h"
#include "common/logger.h"
#include "nlohmann/json.hpp"
#include "policy/fingerprint_cache.h"
#include "proto/coordinator_client.h"
#include "trainer/collective.h"
#include "trainer/trainer_config.h"
#include "trainer/trainer_metrics.h"

namespace evilmoe {

// One process's life as a trainer: what it does each of its jobs with. All that it refers to must outlive it.
struct TrainerLife {
  const TrainerConfig& config;
  std::string id;  // LifeId()
  CoordinatorClient& coordinator;
  Collective& ranks;  // this is rank 0; the others follow it (trainer/rank_follower.h) through each training run
  FingerprintCache& fingerprints;  // of base models
  TrainerMetrics& metrics;
  const Clock& clock;
  Logger& logger;
  std::stop_token stop;  // also the one of `coordinator`
  nlohmann::ordered_json software;  // payload of the event "software" of each job (software_report.h); null: none
};

// Takes one job from the coordinator and does it: a training run from its last checkpoint, or an ablation. Says that it
// lives while it has the job. What can never succeed (a bad config, a broken checkpoint) ends the job as failed; what a
// fresh start may mend comes back as the error, and the job stays the trainer's name's.
//
// When the run is to pause, or `stop` is requested, a training run leaves a checkpoint, an evaluation is abandoned, and
// the job is given back: paused, or queued for whoever is free. OK then, and when there was nothing to do, or the job
// was taken over or cancelled.
absl::Status DoOneJob(const TrainerLife& life);

}  // namespace evilmoe
