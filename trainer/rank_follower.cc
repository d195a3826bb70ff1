#include "trainer/rank_follower.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/status_macros.h"
#include "trainer/checkpoint.h"
#include "trainer/rank_messages.h"
#include "trainer/run_config.h"
#include "trainer/same_parameters.h"
#include "trainer/training_model.h"

namespace evilmoe {
namespace {

// One job as far as a follower has to do with it.
class FollowedJob {
 public:
  FollowedJob(const FollowerOptions& options, Collective& ranks, const RankMessage& job)
      : directory_(job.run_directory.empty() ? options.run_directory : std::filesystem::path(job.run_directory)),
        ranks_(ranks),
        config_sha256_(Sha256Hex(job.run_yaml)),
        loaded_(Load(job.run_yaml, options.threads)) {}

  // OK, or why there is no model.
  const absl::Status& loaded() const { return loaded_; }

  absl::Status Restore(int64_t step) {
    EVILMOE_RETURN_IF_ERROR(loaded_);
    if (step == 0) return absl::OkStatus();
    TrainerState state = model_->State(0);
    return LoadCheckpoint(directory_, step, config_sha256_, state);
  }

  absl::Status Step(int64_t step, const std::vector<TrainGroup>& groups) {
    EVILMOE_RETURN_IF_ERROR(loaded_);
    EVILMOE_ASSIGN_OR_RETURN(const TrainingModel::Update update, model_->Step(step, groups));
    return CheckSameParameters(model_->State(step + 1), update.dropped, ranks_);
  }

 private:
  absl::Status Load(const std::string& run_yaml, int threads) {
    EVILMOE_ASSIGN_OR_RETURN(run_, ParseRunConfig(run_yaml, "run.yaml", directory_));
    EVILMOE_ASSIGN_OR_RETURN(model_, TrainingModel::Load(run_, threads, ranks_));
    return absl::OkStatus();
  }

  const std::filesystem::path directory_;
  Collective& ranks_;
  const std::string config_sha256_;
  RunConfig run_;
  std::unique_ptr<TrainingModel> model_;
  absl::Status loaded_;
};

absl::StatusOr<RankMessage> Receive(Collective& ranks) {
  EVILMOE_RETURN_IF_ERROR(ranks.AwaitTurn());
  EVILMOE_ASSIGN_OR_RETURN(const std::string bytes, ranks.Broadcast(""));
  return DecodeRankMessage(bytes);
}

}  // namespace

absl::Status FollowRankZero(const FollowerOptions& options, Collective& ranks, Logger& logger) {
  std::unique_ptr<FollowedJob> job;
  while (true) {
    EVILMOE_ASSIGN_OR_RETURN(const RankMessage message, Receive(ranks));
    switch (message.kind) {
      case RankMessageKind::kJob:
        job = std::make_unique<FollowedJob>(options, ranks, message);
        if (!job->loaded().ok()) {
          logger.Warn("job_not_loaded", {{"error", std::string(job->loaded().message())}});
        }
        continue;
      case RankMessageKind::kEndJob: job.reset(); continue;
      case RankMessageKind::kLeave: return absl::OkStatus();
      case RankMessageKind::kRestore:
      case RankMessageKind::kStep: break;
    }
    if (job == nullptr) return absl::DataLossError("message between ranks: a step before its job");
    if (message.kind == RankMessageKind::kRestore) {
      EVILMOE_RETURN_IF_ERROR(Annotate(job->Restore(message.step), absl::StrCat("checkpoint of step ", message.step)));
      logger.Info("followed", {{"step", message.step}});
    } else {
      EVILMOE_RETURN_IF_ERROR(
          Annotate(job->Step(message.step, message.groups), absl::StrCat("step ", message.step + 1)));
    }
  }
}

}  // namespace evilmoe
