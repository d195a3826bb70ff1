#include "trainer/serve.h"

#include <prometheus/registry.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <stop_token>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/logger.h"
#include "common/metrics_server.h"
#include "common/process.h"
#include "common/status_macros.h"
#include "trainer/c10d_collective.h"
#include "trainer/rank_follower.h"
#include "trainer/rank_launcher.h"
#include "trainer/rank_leader.h"
#include "trainer/rank_link.h"
#include "trainer/software_report.h"
#include "trainer/trainer_config.h"
#include "trainer/trainer_device.h"
#include "trainer/training_job_client.h"

namespace evilmoe {
namespace {

// Ends the process once `grace` has passed, unless `cancel` comes first. A step that takes longer than that is
// abandoned: the checkpoints on disk are whole at any moment.
void LeaveAfter(absl::Duration grace, const std::stop_token& cancel) {
  std::mutex mu;
  std::unique_lock lock(mu);
  std::condition_variable_any cancelled;
  cancelled.wait_for(lock, cancel, absl::ToChronoMilliseconds(grace), [] { return false; });
  if (!cancel.stop_requested()) std::_Exit(0);
}

// Rank 0, or the only rank: takes the coordinator's jobs until it is asked to stop.
absl::Status TakeJobs(const TrainerConfig& config, Collective& ranks) {
  std::stop_source stop;
  const std::jthread signals([&](const std::stop_token& cancel) {
    AwaitStopSignal(stop, cancel);
    LeaveAfter(absl::Seconds(config.stop_grace_s), cancel);
  });
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(config.log, "trainer", clock));
  const auto registry = std::make_shared<prometheus::Registry>();
  EVILMOE_ASSIGN_OR_RETURN(const auto metrics, MetricsServer::Start(config.metrics_listen, registry));
  EVILMOE_RETURN_IF_ERROR(CheckChannelFiles(config.security, clock.Now()));
  EVILMOE_RETURN_IF_ERROR(WriteReadyFile(config.ready_file, metrics->port()));
  CoordinatorClient coordinator({.address = config.coordinator, .stop = stop.get_token(), .security = config.security});
  FingerprintCache fingerprints;
  TrainerMetrics run_metrics(*registry, clock);
  const TrainerLife life{.config = config,
                         .id = LifeId(config.trainer_id, clock),
                         .coordinator = coordinator,
                         .ranks = ranks,
                         .fingerprints = fingerprints,
                         .metrics = run_metrics,
                         .clock = clock,
                         .logger = logger,
                         .stop = stop.get_token(),
                         .software = SoftwareReport(config)};
  while (!stop.stop_requested()) {
    const absl::Status done = DoOneJob(life);
    if (!done.ok() && !stop.stop_requested()) {
      logger.Error("trainer_failed", {{"error", std::string(done.message())}});
      return done;
    }
  }
  return RankLeader(ranks).Leave();
}

absl::Status Follow(const TrainerConfig& config, Collective& ranks) {
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(config.log, absl::StrCat("trainer-rank-", ranks.rank()), clock));
  const absl::Status done = FollowRankZero({config.run_directory, config.threads}, ranks, logger);
  if (!done.ok()) logger.Error("trainer_failed", {{"error", std::string(done.message())}});
  return done;
}

absl::Status ServeRank(const TrainerConfig& config, const RankPlace& place) {
  const absl::Duration timeout = absl::Seconds(config.collective_timeout_s);
  EVILMOE_ASSIGN_OR_RETURN(const auto link, RankLink::Start(STDIN_FILENO, timeout));
  EVILMOE_ASSIGN_OR_RETURN(RankStore store, ConnectRankStore(place.store_port, timeout));
  EVILMOE_ASSIGN_OR_RETURN(const c10::Device device, TrainerDevice(config.device, place.rank));
  const RankGroup group{.rank = place.rank, .size = config.ranks, .deadline = timeout, .device = device};
  EVILMOE_ASSIGN_OR_RETURN(const auto ranks, C10dCollective::Join(std::move(store), group));
  return place.rank == 0 ? TakeJobs(config, *ranks) : Follow(config, *ranks);
}

absl::Status Launch(const TrainerConfig& config, const std::string& file) {
  const RealClock clock;
  EVILMOE_ASSIGN_OR_RETURN(Logger logger, Logger::Open(config.log, "launcher", clock));
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::UnavailableError(absl::StrCat("/proc/self/exe: ", error.message()));
  const RankLaunch launch = {.binary = self,
                             .arguments = {"--config", file},
                             .num_ranks = config.ranks,
                             .collective_timeout = absl::Seconds(config.collective_timeout_s),
                             .stop_grace = absl::Seconds(config.stop_grace_s)};
  return RunRanks(launch, logger);
}

}  // namespace

absl::Status ServeFile(const std::string& file, bool check, const RankPlace& place) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 1 << 20));
  EVILMOE_ASSIGN_OR_RETURN(const TrainerConfig config, ParseTrainerConfig(text, file));
  if (check) return absl::OkStatus();
  if (place.rank >= 0) return ServeRank(config, place);
  if (config.ranks > 1) return Launch(config, file);
  EVILMOE_ASSIGN_OR_RETURN(const c10::Device device, TrainerDevice(config.device, 0));
  SingleRank alone(device);
  return TakeJobs(config, alone);
}

}  // namespace evilmoe
