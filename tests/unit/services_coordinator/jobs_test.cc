#include <thread>

#include "absl/strings/str_cat.h"
#include "services/coordinator/coordinator_translation.h"
#include "tests/unit/services_coordinator/coordinator_fixture.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

class JobsTest : public CoordinatorFixture {
 protected:
  Code Record(const JobFenceKey& fence, const std::string& key, int64_t steps_done = 1) {
    return core_->RecordEvent(fence, key, {.kind = "step", .payload_json = "{}"}, steps_done).status().code();
  }
  std::vector<std::string> Kinds(const std::string& run_id) {
    std::vector<std::string> kinds;
    const auto page = core_->ListEvents(run_id, 0, 0, {});
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok()) return kinds;
    for (const EventRecord& event : page->events) kinds.push_back(event.kind);
    return kinds;
  }
};

TEST_F(JobsTest, SubmittingTwiceIsOneRunAnotherConfigIsRefused) {
  const RunRecord first = Submit("R");
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Submit("R").created_unix_ms, first.created_unix_ms);
  EXPECT_EQ(core_->SubmitRun({.run_id = "R", .config_yaml = "name: y", .directory = "/r"}).status().code(),
            Code::kAlreadyExists);
  EXPECT_EQ(core_->ListRuns()->size(), 1u);
}

TEST_F(JobsTest, UnknownRunsAreNotFound) {
  EXPECT_EQ(core_->GetRun("no").status().code(), Code::kNotFound);
  EXPECT_EQ(core_->CancelRun("no").status().code(), Code::kNotFound);
  EXPECT_EQ(core_->ListEvents("no", 0, 0, {}).status().code(), Code::kNotFound);
  EXPECT_EQ(core_->SubmitJob({.job_id = "J", .run_id = "no"}).code(), Code::kNotFound);
  EXPECT_EQ(core_->AdapterFile({.run_id = "no", .sha256 = "x"}).status().code(), Code::kNotFound);
}

TEST_F(JobsTest, TheOldestJobComesFirstAndKeepsItsTrainer) {
  EXPECT_EQ(core_->AcquireJob({.trainer_id = "T", .trainer_name = "T"}, {}).status().code(), Code::kNotFound);
  Submit("R");
  Submit("S");
  const JobFenceKey fence = Acquire("T");
  EXPECT_EQ(fence.run_id, "R");
  EXPECT_EQ(Acquire("T").incarnation, fence.incarnation) << "its answer was lost";
  EXPECT_EQ(core_->GetRun("R")->phase, RunPhase::kRunning);
  EXPECT_EQ(Acquire("T2").run_id, "S") << "what waits comes before what somebody holds";
  EXPECT_EQ(core_->AcquireJob({.trainer_id = "T3", .trainer_name = "T3"}, {}).status().code(), Code::kNotFound)
      << "both trainers live";
  clock_.Advance(kTrainerTimeout / 2);
  ASSERT_TRUE(core_->HeartbeatJob(fence).ok());
  clock_.Advance(kTrainerTimeout * 0.6);
  EXPECT_EQ(Acquire("T3").run_id, "S") << "its trainer is silent";
}

TEST_F(JobsTest, ATrainerLearnsWhetherItGoesOnAfterAPause) {
  Submit("R");
  JobFenceKey fence;
  const auto after_pause = [&](const std::string& trainer) {
    const absl::StatusOr<AcquiredJob> job = core_->AcquireJob({.trainer_id = trainer, .trainer_name = trainer}, {});
    EXPECT_TRUE(job.ok()) << job.status();
    fence = {"R", job->job.job_id, job->job.incarnation};
    return ToProto(*job).after_pause();
  };
  const auto pause_and_resume = [&] {
    ASSERT_TRUE(core_->PauseRun("R").ok());
    ASSERT_TRUE(core_->ReleaseJob(fence).ok());
    ASSERT_TRUE(core_->ResumeRun("R").ok());
  };
  EXPECT_FALSE(after_pause("T1"));
  pause_and_resume();
  EXPECT_TRUE(after_pause("T2"));
  EXPECT_TRUE(after_pause("T2")) << "its answer was lost";
  clock_.Advance(2 * kTrainerTimeout);
  EXPECT_FALSE(after_pause("T3")) << "T2 was lost";
  ASSERT_TRUE(core_->ReleaseJob(fence).ok());
  EXPECT_FALSE(after_pause("T4")) << "given back for another reason";
  pause_and_resume();
  ASSERT_TRUE(core_->CancelRun("R").ok());
  ASSERT_TRUE(core_->RetryRun("R").ok());
  EXPECT_FALSE(after_pause("T5"));
}

TEST_F(JobsTest, ANewTrainerFencesOffTheOldOneInEveryCall) {
  Submit("R");
  const JobFenceKey old = Acquire("T1");
  clock_.Advance(2 * kTrainerTimeout);
  const JobFenceKey now = Acquire("T2");
  EXPECT_EQ(now.incarnation, old.incarnation + 1);
  const AdapterName adapter = Publish(now, 0, "bytes");
  EXPECT_EQ(core_->BeginJob(old, 0).code(), Code::kAborted);
  EXPECT_EQ(core_->PublishAdapter(old, adapter, "bytes").code(), Code::kAborted);
  EXPECT_EQ(Open(old, adapter, "step/0", 0, 1).code(), Code::kAborted);
  EXPECT_EQ(core_->FetchGroups(old, "step/0", 0, {}).status().code(), Code::kAborted);
  EXPECT_EQ(core_->CloseBatch(old, "step/0").code(), Code::kAborted);
  EXPECT_EQ(Record(old, "step/0"), Code::kAborted);
  EXPECT_EQ(core_->FinishJob(old, true, "").code(), Code::kAborted);
  EXPECT_TRUE(core_->BeginJob(now, 0).ok());
}

TEST_F(JobsTest, BeginningKeepsOnlyTheBatchOfTheStepThatItStartsWith) {
  StartBatch(2);
  for (const int64_t step : {1, 2}) ASSERT_TRUE(Open(fence_, adapter_, absl::StrCat("step/", step), step, 2).ok());
  const auto of_step_0 = Lease("w", 2);
  const auto of_step_1 = Lease("w", 2);
  ASSERT_TRUE(Complete("w", of_step_1[0]).ok());
  ASSERT_TRUE(core_->BeginJob(fence_, 1).ok());
  EXPECT_EQ(core_->FetchGroups(fence_, "step/0", 0, {}).status().code(), Code::kNotFound) << "done already";
  EXPECT_EQ(core_->FetchGroups(fence_, "step/2", 0, {}).status().code(), Code::kNotFound) << "to be opened anew";
  EXPECT_EQ(Complete("w", of_step_0[0]).code(), Code::kAborted);
  EXPECT_TRUE(Open(fence_, adapter_, "step/1", 1, 2).ok()) << "the trainer opens it as it did before";
  ASSERT_TRUE(Complete("w", of_step_1[1]).ok());
  const auto fetched = core_->FetchGroups(fence_, "step/1", 0, {});
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->groups.size(), 2u) << "nothing that was finished is sampled again";
  EXPECT_EQ(metrics_.leases_dropped.Value(), 2);
}

TEST_F(JobsTest, AnAblationDoesNotMoveTheRunsSteps) {
  Submit("R");
  const JobFenceKey training = Acquire("T");
  ASSERT_EQ(Record(training, "step/3", 3), Code::kOk);
  ASSERT_TRUE(core_->FinishJob(training, true, "").ok());
  ASSERT_TRUE(core_->SubmitJob({.job_id = "J", .run_id = "R", .type = JobType::kAblate}).ok());
  const JobFenceKey ablation = Acquire("T");
  ASSERT_TRUE(core_->BeginJob(ablation, 1).ok());
  EXPECT_EQ(Record(ablation, "ablation/J", 1), Code::kOk);
  EXPECT_EQ(core_->GetRun("R")->steps_done, 3);
}

TEST_F(JobsTest, OpeningTheSameBatchTwiceIsOneBatch) {
  StartBatch(2);
  EXPECT_TRUE(Open(fence_, adapter_, "step/0", 0, 2).ok());
  EXPECT_EQ(Open(fence_, adapter_, "step/0", 0, 3).code(), Code::kAlreadyExists);
  EXPECT_EQ(Fetch().num_groups, 2);
  AdapterName unknown = adapter_;
  unknown.sha256 = std::string(64, '0');
  EXPECT_EQ(Open(fence_, unknown, "step/1", 1, 1).code(), Code::kFailedPrecondition);
  EXPECT_EQ(core_->OpenBatch(fence_, {.key = "k", .adapter = adapter_}, {{.index = 1}, {.index = 1}}).code(),
            Code::kInvalidArgument);
  EXPECT_TRUE(core_->CloseBatch(fence_, "step/0").ok());
  EXPECT_TRUE(core_->CloseBatch(fence_, "step/0").ok());
}

TEST_F(JobsTest, CancellingFreesLeasesAndTheTrainerSeesIt) {
  StartBatch(1);
  const auto leases = Lease("w", 1);
  EXPECT_EQ(core_->CancelRun("R")->phase, RunPhase::kCancelled);
  EXPECT_EQ(core_->CancelRun("R")->phase, RunPhase::kCancelled);
  EXPECT_EQ(core_->FetchGroups(fence_, "step/0", 0, {}).status().code(), Code::kAborted);
  EXPECT_EQ(core_->FinishJob(fence_, true, "").code(), Code::kAborted);
  EXPECT_EQ(core_->Heartbeat("w", {leases[0].lease_id})->size(), 1u);
  EXPECT_GT(core_->GetRun("R")->finished_unix_ms, -1);
}

TEST_F(JobsTest, TheRunsStateFollowsItsJobs) {
  StartBatch(1);
  EXPECT_EQ(core_->SubmitJob({.job_id = "J", .run_id = "R", .type = JobType::kAblate}).code(),
            Code::kFailedPrecondition)
      << "still training";
  ASSERT_TRUE(core_->FinishJob(fence_, true, "").ok());
  EXPECT_TRUE(core_->FinishJob(fence_, true, "").ok()) << "its answer was lost";
  EXPECT_EQ(Record(fence_, "late"), Code::kAborted);
  EXPECT_EQ(core_->GetRun("R")->phase, RunPhase::kSucceeded);
  const JobRecord ablation{.job_id = "J", .run_id = "R", .type = JobType::kAblate, .params_json = "{}"};
  ASSERT_TRUE(core_->SubmitJob(ablation).ok());
  EXPECT_TRUE(core_->SubmitJob(ablation).ok());
  EXPECT_EQ(core_->GetRun("R")->phase, RunPhase::kQueued);
  const JobFenceKey fence = Acquire("T");
  EXPECT_EQ(fence.job_id, "J");
  ASSERT_TRUE(core_->FinishJob(fence, false, "no checkpoint").ok());
  EXPECT_EQ(core_->GetRun("R")->phase, RunPhase::kFailed);
  EXPECT_EQ(core_->GetRun("R")->error, "no checkpoint");
}

TEST_F(JobsTest, EventsCountOnceAndInOrder) {
  Submit("R");
  const JobFenceKey fence = Acquire("T");
  EXPECT_EQ(Record(fence, "step/1"), Code::kOk);
  EXPECT_EQ(Record(fence, "step/1"), Code::kOk);
  EXPECT_EQ(Record(fence, "step/2", 2), Code::kOk);
  EXPECT_THAT(Kinds("R"), ::testing::ElementsAre("state", "step", "step"));
  EXPECT_EQ(core_->GetRun("R")->steps_done, 2);
  const auto rest = core_->ListEvents("R", 2, 1, {});
  ASSERT_EQ(rest->events.size(), 1u);
  EXPECT_EQ(rest->events[0].seq, 3);
  Restart();
  EXPECT_EQ(Kinds("R").size(), 3u);
}

TEST_F(JobsTest, ARunThatIsRetriedAfterARestartSaysNothingTwiceAndLeavesNoHole) {
  Submit("R");
  const JobFenceKey first = Acquire("T");
  ASSERT_EQ(Record(first, "step/1"), Code::kOk);
  ASSERT_TRUE(core_->FinishJob(first, false, "e").ok());
  Restart();
  ASSERT_TRUE(core_->RetryRun("R").ok());
  const JobFenceKey again = Acquire("T");
  ASSERT_EQ(Record(again, "step/1"), Code::kOk) << "from its last checkpoint on";
  ASSERT_EQ(Record(again, "step/2", 2), Code::kOk);
  const auto page = core_->ListEvents("R", 0, 0, {});
  ASSERT_TRUE(page.ok()) << page.status();
  for (size_t i = 0; i < page->events.size(); ++i) EXPECT_EQ(page->events[i].seq, static_cast<int64_t>(i) + 1);
  EXPECT_THAT(Kinds("R"), ::testing::ElementsAre("state", "step", "state", "state", "state", "step"));
}

TEST_F(JobsTest, AnAdapterIsStoredUnderTheHashOfItsBytes) {
  Submit("R");
  const JobFenceKey fence = Acquire("T");
  const AdapterName adapter = Publish(fence, 4, "bytes");
  Publish(fence, 4, "bytes");
  EXPECT_EQ(core_->GetRun("R")->adapter.step, 4);
  EXPECT_EQ(std::filesystem::file_size(core_->AdapterFile(adapter).value()), 5u);
  EXPECT_EQ(core_->PublishAdapter(fence, adapter, "other").code(), Code::kDataLoss);
}

TEST_F(JobsTest, StoppingEndsAWaitAtOnce) {
  absl::Status status;
  {
    const std::jthread waiting([&] { status = core_->AcquireJob({.trainer_id = "T", .trainer_name = "T"}, {.wait = absl::Seconds(30)}).status(); });
    core_->Stop();
  }
  EXPECT_EQ(status.code(), Code::kUnavailable);
}

TEST_F(JobsTest, GaugesTellWhatIsThere) {
  StartBatch(2);
  Lease("w", 1);
  core_->UpdateGauges();
  EXPECT_EQ(metrics_.leases_open.Value(), 1);
  EXPECT_EQ(metrics_.rollout_workers.Value(), 1);
  EXPECT_EQ(metrics_.trainers.Value(), 1);
  EXPECT_EQ(metrics_.runs.Add({{"state", "running"}}).Value(), 1);
}

// Seconds of evilmoe_coordinator_run_progress_timestamp_seconds{run="R"}; nullopt: there is no such series.
std::optional<double> ProgressOf(const prometheus::Registry& registry) {
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    if (family.name != "evilmoe_coordinator_run_progress_timestamp_seconds" || family.metric.empty()) continue;
    EXPECT_EQ(family.metric.size(), 1u);
    EXPECT_EQ(family.metric[0].label[0].value, "R");
    return family.metric[0].gauge.value;
  }
  return std::nullopt;
}

TEST_F(JobsTest, ProgressIsOfTheLastEventWhileATrainerHoldsTheRun) {
  const auto progress = [this] {
    core_->UpdateGauges();
    return ProgressOf(registry_);
  };
  Submit("R");
  EXPECT_EQ(progress(), std::nullopt) << "queued";
  clock_.Advance(absl::Seconds(100));
  const JobFenceKey fence = Acquire("T");
  EXPECT_EQ(progress(), 100);
  ASSERT_TRUE(core_->BeginJob(fence, 0).ok());
  clock_.Advance(absl::Seconds(5));
  ASSERT_TRUE(core_->HeartbeatJob(fence).ok());
  EXPECT_EQ(progress(), 100) << "a heartbeat is no step";
  ASSERT_TRUE(core_->RecordEvent(fence, "step/1", {.kind = "step", .payload_json = "{}"}, 1).ok());
  EXPECT_EQ(progress(), 105);
  clock_.Advance(absl::Seconds(5));
  Restart();
  EXPECT_EQ(progress(), 110) << "nothing is known of the time before";
  ASSERT_TRUE(core_->FinishJob(fence, true, "").ok());
  EXPECT_EQ(progress(), std::nullopt) << "ended";
}

}  // namespace
}  // namespace evilmoe
