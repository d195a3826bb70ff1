#include "services/coordinator/coordinator_state.h"

#include <prometheus/registry.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Code = absl::StatusCode;

// A state with nothing behind it, and a clock that is a number.
class StateTest : public ::testing::Test {
 protected:
  StateTest() : state_(CoordinatorState::Create({.epoch = 1}, options_, now_, metrics_).value()) {}

  void Submit(const std::string& run_id, int priority = 0, int slots = 1) {
    const auto run = state_.SubmitRun(
        {.run_id = run_id, .config_yaml = "name: " + run_id, .priority = priority, .slots = slots}, now_);
    ASSERT_TRUE(run.ok()) << run.status();
  }
  // The job that a trainer gets; "" = none.
  std::string Offer(const std::string& name, int slots = 1, int life = 1) {
    const auto job = state_.AcquireJob(
        {.trainer_id = absl::StrCat(name, "-", life), .trainer_name = name, .slots = slots}, now_);
    EXPECT_TRUE(job.ok()) << job.status();
    if (!job.ok() || !*job) return "";
    fences_[(*job)->run.run_id] = {(*job)->run.run_id, (*job)->job.job_id, (*job)->job.incarnation};
    return (*job)->run.run_id;
  }
  RunPhase Phase(const std::string& run_id) { return state_.GetRun(run_id)->phase; }
  AdapterName Publish(const std::string& run_id, int64_t step) {
    const AdapterName adapter{run_id, step, absl::StrCat(run_id, "-", step), 1};
    EXPECT_TRUE(state_.PublishAdapter(fences_[run_id], adapter, now_).ok());
    return adapter;
  }
  absl::Status Open(const std::string& run_id, int64_t step, int num_groups, int lag = -1) {
    BatchRecord batch{.key = absl::StrCat("step/", step), .step = step};
    batch.bind_at_lease = lag >= 0;
    batch.max_policy_lag = std::max(lag, 0);
    if (lag < 0) batch.adapter = state_.GetRun(run_id)->adapter;
    std::vector<GroupTask> groups;
    for (int i = 0; i < num_groups; ++i) groups.push_back({.index = i, .num_samples = 1});
    return state_.OpenBatch(fences_[run_id], batch, groups, now_);
  }
  // A running run with an adapter and an open batch.
  void Start(const std::string& run_id, int num_groups, int priority = 0) {
    Submit(run_id, priority);
    ASSERT_EQ(Offer("T" + run_id), run_id);
    Publish(run_id, 0);
    ASSERT_TRUE(Open(run_id, 0, num_groups).ok());
  }
  Granted Lease(const std::string& worker, int max_groups = 1) {
    state_.Heartbeat(worker, "host", {}, now_);
    const auto granted = state_.LeaseGroups(worker, max_groups, now_);
    EXPECT_TRUE(granted.ok()) << granted.status();
    return granted.ok() ? *granted : Granted();
  }
  std::string RunOf(const Granted& granted) { return granted.leases.empty() ? "" : granted.batch.run_id; }
  absl::Status Complete(const std::string& worker, const Granted& granted) {
    EXPECT_TRUE(state_.AcknowledgeAdapter(worker, granted.adapter, now_).ok());
    return state_.CompleteGroup(worker, granted.leases[0].lease_id,
                                {granted.leases[0].task.index, 1, granted.adapter, "r"}, now_);
  }

  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  CoordinatorState::Options options_{
      .lease_timeout = absl::Seconds(10), .trainer_timeout = absl::Seconds(20), .device_slots = 4};
  absl::Time now_ = absl::UnixEpoch();
  CoordinatorState state_;
  std::map<std::string, JobFenceKey> fences_;
};

TEST_F(StateTest, HigherPriorityFirstThenAge) {
  Submit("a");
  Submit("b", 5);
  Submit("c", 5);
  EXPECT_EQ(Offer("T1"), "b");
  EXPECT_EQ(Offer("T2"), "c");
  EXPECT_EQ(Offer("T3"), "a");
  EXPECT_EQ(Offer("T4"), "");
}

TEST_F(StateTest, AJobWaitsForATrainerAndSlotsThatItFits) {
  Submit("wide", 9, 3);
  Submit("narrow", 0, 2);
  EXPECT_EQ(Offer("small", 1), "") << "both need more ranks than it has";
  EXPECT_EQ(Offer("middle", 2), "narrow");
  EXPECT_EQ(Offer("large", 4), "") << "2 of 4 device slots are taken, 3 are needed";
  ASSERT_TRUE(state_.FinishJob(fences_["narrow"], true, "", now_).ok());
  EXPECT_TRUE(state_.TakeChanged().jobs) << "who waits for a job is to be asked again";
  EXPECT_EQ(Offer("large", 4), "wide");
}

TEST_F(StateTest, ATrainersNextLifeTakesItsJobOverAtOnceAndTheOldOneIsFencedOff) {
  Submit("a");
  ASSERT_EQ(Offer("T", 1, 1), "a");
  const JobFenceKey old = fences_["a"];
  EXPECT_EQ(Offer("T", 1, 1), "a");
  EXPECT_EQ(fences_["a"].incarnation, old.incarnation) << "its answer was lost";
  EXPECT_EQ(Offer("T", 1, 2), "a");
  EXPECT_EQ(fences_["a"].incarnation, old.incarnation + 1);
  EXPECT_EQ(state_.HeartbeatJob(old, now_).status().code(), Code::kAborted);
}

TEST_F(StateTest, ATrainerThatIsLostAgainAndAgainWithoutAStepFailsTheRun) {
  Submit("a");
  ASSERT_EQ(Offer("T", 1, 0), "a");
  for (int life = 1; life <= CoordinatorState::kMaxLostTrainers; ++life) EXPECT_EQ(Offer("T", 1, life), "a");
  EXPECT_EQ(Offer("T", 1, 9), "");
  EXPECT_EQ(Phase("a"), RunPhase::kFailed);
  EXPECT_THAT(state_.GetRun("a")->error, HasSubstr("4 times in a row"));
  ASSERT_TRUE(state_.RetryRun("a", now_).ok());
  EXPECT_EQ(Phase("a"), RunPhase::kQueued);
  EXPECT_EQ(Offer("T", 1, 10), "a");
}

TEST_F(StateTest, ANewStepForgivesLostTrainers) {
  Submit("a");
  ASSERT_EQ(Offer("T", 1, 0), "a");
  for (int life = 1; life <= 3 * CoordinatorState::kMaxLostTrainers; ++life) {
    ASSERT_EQ(Offer("T", 1, life), "a");
    ASSERT_TRUE(state_.RecordEvent(fences_["a"], absl::StrCat("step/", life), {.kind = "step"}, life, now_).ok());
  }
}

TEST_F(StateTest, AQueuedRunIsPausedAtOnceAndComesBack) {
  Submit("a");
  EXPECT_EQ(state_.PauseRun("a", now_)->phase, RunPhase::kPaused);
  EXPECT_EQ(state_.PauseRun("a", now_)->phase, RunPhase::kPaused);
  EXPECT_EQ(Offer("T"), "");
  EXPECT_EQ(state_.ResumeRun("a", now_)->phase, RunPhase::kQueued);
  EXPECT_EQ(Offer("T"), "a");
  EXPECT_EQ(state_.ResumeRun("a", now_)->phase, RunPhase::kRunning) << "nothing to do";
}

TEST_F(StateTest, ARunningRunIsPausedByItsTrainer) {
  Start("a", 1);
  EXPECT_EQ(state_.PauseRun("a", now_)->phase, RunPhase::kPausing);
  EXPECT_TRUE(*state_.HeartbeatJob(fences_["a"], now_));
  EXPECT_TRUE(*state_.RecordEvent(fences_["a"], "k", {.kind = "step"}, 1, now_));
  EXPECT_EQ(RunOf(Lease("w")), "a") << "the step under way is finished";
  ASSERT_TRUE(state_.ReleaseJob(fences_["a"], now_).ok());
  EXPECT_EQ(Phase("a"), RunPhase::kPaused);
  EXPECT_EQ(state_.HeartbeatJob(fences_["a"], now_).status().code(), Code::kAborted);
}

TEST_F(StateTest, APauseMayBeTakenBack) {
  Start("a", 1);
  ASSERT_TRUE(state_.PauseRun("a", now_).ok());
  EXPECT_EQ(state_.ResumeRun("a", now_)->phase, RunPhase::kRunning);
  EXPECT_FALSE(*state_.HeartbeatJob(fences_["a"], now_));
}

TEST_F(StateTest, ARunWhoseTrainerDiesWhilePausingIsPaused) {
  Start("a", 1);
  Start("b", 1);
  ASSERT_TRUE(state_.PauseRun("a", now_).ok());
  ASSERT_TRUE(state_.PauseRun("b", now_).ok());
  EXPECT_EQ(Offer("Ta", 1, 2), "") << "its next life has nothing to do";
  EXPECT_EQ(Phase("a"), RunPhase::kPaused);
  now_ += absl::Seconds(21);
  state_.ExpireOverdue(now_);
  EXPECT_EQ(Phase("b"), RunPhase::kPaused);
}

TEST_F(StateTest, ATrainerThatLeavesInGoodOrderQueuesItsJob) {
  Start("a", 1);
  ASSERT_TRUE(state_.ReleaseJob(fences_["a"], now_).ok());
  EXPECT_EQ(Phase("a"), RunPhase::kQueued);
  EXPECT_EQ(Offer("another"), "a");
}

struct VerbCase {
  std::string name;
  std::string state;  // queued | running | paused | succeeded | failed | cancelled
  Code pause, resume, retry;
};
class VerbTest : public StateTest, public ::testing::WithParamInterface<VerbCase> {
 protected:
  void Bring(const std::string& run_id) {
    const std::string& to = GetParam().state;
    Submit(run_id);
    if (to == "queued") return;
    if (to == "paused") return (void)state_.PauseRun(run_id, now_);
    if (to == "cancelled") return (void)state_.CancelRun(run_id, now_);
    ASSERT_EQ(Offer("T" + run_id), run_id);
    if (to == "running") return;
    ASSERT_TRUE(state_.FinishJob(fences_[run_id], to == "succeeded", "e", now_).ok());
  }
};
TEST_P(VerbTest, IsRefusedWhereItMakesNoSense) {
  for (const char* run : {"p", "r", "t"}) Bring(run);
  EXPECT_EQ(state_.PauseRun("p", now_).status().code(), GetParam().pause);
  EXPECT_EQ(state_.ResumeRun("r", now_).status().code(), GetParam().resume);
  EXPECT_EQ(state_.RetryRun("t", now_).status().code(), GetParam().retry);
  EXPECT_EQ(state_.PauseRun("none", now_).status().code(), Code::kNotFound);
  EXPECT_EQ(state_.ResumeRun("none", now_).status().code(), Code::kNotFound);
  EXPECT_EQ(state_.RetryRun("none", now_).status().code(), Code::kNotFound);
}
INSTANTIATE_TEST_SUITE_P(Cases, VerbTest, ::testing::ValuesIn(std::vector<VerbCase>{
    {"Queued", "queued", Code::kOk, Code::kOk, Code::kOk},
    {"Running", "running", Code::kOk, Code::kOk, Code::kOk},
    {"Paused", "paused", Code::kOk, Code::kOk, Code::kFailedPrecondition},
    {"Succeeded", "succeeded", Code::kFailedPrecondition, Code::kFailedPrecondition, Code::kFailedPrecondition},
    {"Failed", "failed", Code::kFailedPrecondition, Code::kFailedPrecondition, Code::kOk},
    {"Cancelled", "cancelled", Code::kFailedPrecondition, Code::kFailedPrecondition, Code::kOk}}),
    [](const auto& c) { return c.param.name; });

TEST_F(StateTest, WorkersAreSharedBetweenRunsOfOnePriority) {
  Start("a", 4);
  Start("b", 4);
  std::map<std::string, int> leased;
  for (const char* worker : {"w1", "w2", "w3", "w4"}) ++leased[RunOf(Lease(worker))];
  EXPECT_EQ(leased["a"], 2);
  EXPECT_EQ(leased["b"], 2);
}

TEST_F(StateTest, BetweenEqualsAWorkerStaysWithItsRun) {
  Start("a", 4);
  Start("b", 4);
  const Granted first = Lease("w");
  ASSERT_EQ(RunOf(first), "a");
  ASSERT_TRUE(Complete("w", first).ok());
  EXPECT_EQ(RunOf(Lease("w")), "a");
  EXPECT_EQ(RunOf(Lease("v")), "b");
}

TEST_F(StateTest, ARunOfHigherPriorityGetsEveryWorkerFirst) {
  Start("a", 2);
  Start("urgent", 2, 3);
  EXPECT_EQ(RunOf(Lease("w1")), "urgent");
  EXPECT_EQ(RunOf(Lease("w2")), "urgent");
  EXPECT_EQ(RunOf(Lease("w3")), "a");
}

TEST_F(StateTest, AWorkerWithAnotherBaseModelGetsNoMoreGroupsOfTheRun) {
  Start("a", 1);
  const Granted granted = Lease("w");
  ASSERT_TRUE(state_.AbandonGroup("w", granted.leases[0].lease_id, "WRONG_BASE_MODEL", "got x, expected y", now_).ok());
  EXPECT_EQ(RunOf(Lease("w")), "");
  std::string warning;
  for (const StoreChange& change : state_.TakeChanges()) {
    if (const auto* event = std::get_if<PutEvent>(&change); event != nullptr && event->event.kind == "warning") {
      warning = event->event.payload_json;
    }
  }
  EXPECT_THAT(warning, HasSubstr("got x, expected y"));
  EXPECT_EQ(RunOf(Lease("v")), "a") << "the group is another worker's, and no loss was counted";
}

TEST_F(StateTest, GroupsThatBindAtTheLeaseWaitForAnAdapterThatIsNewEnough) {
  Submit("a");
  ASSERT_EQ(Offer("T"), "a");
  EXPECT_EQ(Open("a", 0, 1, 1).code(), Code::kFailedPrecondition) << "no adapter yet";
  Publish("a", 0);
  for (const int64_t step : {0, 1, 2}) ASSERT_TRUE(Open("a", step, 1, 1).ok());
  const Granted first = Lease("w"), second = Lease("w");
  EXPECT_EQ(first.batch.step, 0);
  EXPECT_EQ(second.batch.step, 1);
  EXPECT_EQ(second.adapter.step, 0);
  EXPECT_EQ(RunOf(Lease("w")), "") << "step 2 would be two versions behind";
  const AdapterName newer = Publish("a", 1);
  EXPECT_TRUE(state_.TakeChanged().leases);
  const Granted third = Lease("w");
  EXPECT_EQ(third.batch.step, 2);
  EXPECT_EQ(third.adapter.sha256, newer.sha256);
  EXPECT_TRUE(Complete("w", second).ok()) << "what it was leased with counts, not what is newest";
}

TEST_F(StateTest, WhatTheTrainerWaitsForComesBeforeWhatWasOpenedAhead) {
  Submit("a");
  ASSERT_EQ(Offer("T"), "a");
  Publish("a", 0);
  for (const int64_t step : {2, 1}) ASSERT_TRUE(Open("a", step, 1, 2).ok());
  EXPECT_EQ(Lease("w").batch.step, 1) << "opened later, as a resampled batch is";
  EXPECT_EQ(Lease("w").batch.step, 2);
}

TEST_F(StateTest, StatusTellsWhoWorks) {
  Start("a", 3);
  const Granted granted = Lease("w", 2);
  ASSERT_TRUE(state_.AcknowledgeAdapter("w", granted.adapter, now_).ok());
  const CoordinatorStatus status = state_.Status(now_);
  ASSERT_EQ(status.workers.size(), 2u);
  EXPECT_EQ(status.workers[0].worker_id, "w");
  EXPECT_EQ(status.workers[0].num_leases, 2);
  EXPECT_EQ(status.workers[0].adapter.sha256, granted.adapter.sha256);
  EXPECT_EQ(status.workers[1].kind, "trainer");
  EXPECT_EQ(status.groups_waiting, 1);
  EXPECT_EQ(status.groups_leased, 2);
  EXPECT_EQ(status.slots_used, 1);
  EXPECT_EQ(status.slots_total, 4);
}

TEST_F(StateTest, ListsRunsOfASweep) {
  ASSERT_TRUE(state_.SubmitRun({.run_id = "a", .config_yaml = "x", .sweep = "s"}, now_).ok());
  Submit("b");
  EXPECT_EQ(state_.ListRuns("s").size(), 1u);
  EXPECT_EQ(state_.ListRuns("").size(), 2u);
}

}  // namespace
}  // namespace evilmoe
