// Jobs of a trainer with several ranks.

#include "tests/unit/trainer_job/job_fixture.h"
#include "tests/unit/trainer_ranks/thread_ranks.h"
#include "trainer/rank_follower.h"
#include "trainer/rank_leader.h"

namespace evilmoe {
namespace {

using RanksJobTest = TrainerJobFixture;

TEST_F(RanksJobTest, FollowThroughAPauseToTheNextJobAndBack) {
  config_.ranks = 2;
  coordinator_->Queue(Run("A"));
  coordinator_->on_call = [&](const std::string& line) {
    if (line == "RecordEvent step/2" && coordinator_->Count("ReleaseJob") == 0) coordinator_->AskForPause();
  };
  OnEachRank(2, [&](Collective& ranks) {
    if (ranks.rank() > 0) {
      // It has no directory of its own: rank 0 names that of each job.
      const absl::Status followed = FollowRankZero({.threads = 1}, ranks, *logger_);
      EXPECT_TRUE(followed.ok()) << followed;
      return;
    }
    EXPECT_TRUE(TakeJob(ranks).ok());  // paused after two steps
    EXPECT_EQ(Checkpoint("A"), 2);
    coordinator_->Queue(Run("B"));
    EXPECT_TRUE(TakeJob(ranks).ok());
    EXPECT_EQ(NumSteps("B"), 3);
    coordinator_->ResumeRuns();
    EXPECT_TRUE(TakeJob(ranks).ok());
    EXPECT_EQ(NumSteps("A"), 3);
    EXPECT_TRUE(RankLeader(ranks).Leave().ok());
  });
  EXPECT_EQ(coordinator_->Count("FinishJob ok"), 2);
  EXPECT_EQ(coordinator_->Acquired().at(0).slots(), 2);
}

}  // namespace
}  // namespace evilmoe
