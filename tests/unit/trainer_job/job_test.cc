// Whole jobs of a trainer: taken, done, paused, stopped, lost.

#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "tests/unit/trainer_job/job_fixture.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class JobTest : public TrainerJobFixture {
 protected:
  // The label `run` of all that a scrape would see.
  std::set<std::string> RunsWithMetrics() const {
    std::set<std::string> runs;
    for (const prometheus::MetricFamily& family : registry_.Collect()) {
      for (const prometheus::ClientMetric& metric : family.metric) {
        for (const auto& label : metric.label) {
          if (label.name == "run") runs.insert(label.value);
        }
      }
    }
    return runs;
  }
  // The adapter of a run that nothing disturbs.
  std::string Undisturbed() {
    v1::Run run = Run("A");  // of the same name: an adapter's bytes hold it
    run.set_directory((folder_ / "straight").string());
    coordinator_->Queue(run);
    EXPECT_TRUE(TakeJob().ok());
    return coordinator_->LastAdapter();
  }
};

TEST_F(JobTest, OneTrainerServesManyRunsEachInItsOwnDirectory) {
  coordinator_->Queue(Run("A"));
  coordinator_->Queue(Run("B"));
  coordinator_->trainer_timeout_ms = 4;
  for (int i = 0; i < 3; ++i) {
    const absl::Status done = TakeJob();
    EXPECT_TRUE(done.ok()) << done;
  }
  EXPECT_EQ(coordinator_->Count("FinishJob ok"), 2);
  for (const char* id : {"A", "B"}) {
    EXPECT_EQ(NumSteps(id), 3);
    EXPECT_EQ(Checkpoint(id), 3);
    EXPECT_TRUE(fs::exists(folder_ / id / "eval/ablation.json"));
  }
  EXPECT_GT(coordinator_->NumHeartbeats(), 2);
  EXPECT_EQ(RunsWithMetrics(), std::set<std::string>{"B"});
  const auto acquired = coordinator_->Acquired();
  ASSERT_EQ(acquired.size(), 3u);  // the last one in vain
  EXPECT_EQ(acquired[0].trainer_id(), "life-1");
  EXPECT_EQ(acquired[0].trainer_name(), "trainer");
  EXPECT_EQ(acquired[0].slots(), 1);
  EXPECT_NE(acquired[0].host(), "");
}

TEST_F(JobTest, ARunWithoutADirectoryFailsAndSaysWhy) {
  v1::Run run = Run("A");
  run.clear_directory();
  coordinator_->Queue(run);
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_THAT(coordinator_->LastError(), HasSubstr("run A: directory '', expected an absolute path"));
  config_.run_directory = folder_ / "named";
  coordinator_->Queue(run);
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_EQ(NumSteps("named"), 3);
}

struct PauseCase {
  const char* name;
  const char* at;  // the call during which the pause is asked for
  int64_t want_steps;
  bool by_heartbeat = false;
};
class PausedJob : public JobTest, public ::testing::WithParamInterface<PauseCase> {};

TEST_P(PausedJob, IsGivenBackAndEndsWithTheSameBytes) {
  const std::string straight = Undisturbed();
  coordinator_->trainer_timeout_ms = GetParam().by_heartbeat ? 4 : 0;
  coordinator_->Queue(Run("A"));
  std::atomic<bool> asked = false;
  coordinator_->on_call = [&](const std::string& line) {
    if (line != GetParam().at || asked.exchange(true)) return;
    coordinator_->AskForPause();
    if (!GetParam().by_heartbeat) return;
    const int before = coordinator_->NumHeartbeats();  // the call waits until a beat has brought the news
    while (coordinator_->NumHeartbeats() < before + 2) std::this_thread::yield();
  };
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_TRUE(asked);
  EXPECT_EQ(coordinator_->Count("ReleaseJob"), 1);
  EXPECT_EQ(coordinator_->Count("FinishJob ok"), 1);  // the undisturbed one's
  EXPECT_EQ(Checkpoint("A").value_or(0), GetParam().want_steps);
  EXPECT_EQ(NumSteps("A"), GetParam().want_steps);
  EXPECT_FALSE(fs::exists(folder_ / "A/eval/ablation.json"));
  EXPECT_TRUE(TakeJob().ok());  // nothing to do while it is paused
  EXPECT_EQ(coordinator_->Count("FinishJob ok"), 1);

  coordinator_->ResumeRuns();
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_EQ(coordinator_->LastBegin(), GetParam().want_steps);
  EXPECT_EQ(coordinator_->Count("RecordEvent resume/2"), 1);
  EXPECT_EQ(coordinator_->Count("RecordEvent recovery/2"), 0) << "nothing failed";
  EXPECT_EQ(coordinator_->Count("FinishJob ok"), 2);
  EXPECT_EQ(coordinator_->LastAdapter(), straight);
  EXPECT_EQ(NumSteps("A"), 3);
  EXPECT_TRUE(fs::exists(folder_ / "A/eval/ablation.json"));
  for (int step = 1; step <= 3; ++step) {  // the undisturbed one's, and one more: none was made twice
    EXPECT_EQ(coordinator_->Count(absl::StrCat("RecordEvent step/", step)), 2) << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PausedJob,
                         ::testing::ValuesIn(std::vector<PauseCase>{
                             {"WhileItLoads", "BeginJob 0", 0, true},
                             {"WhileAStepIsSampled", "FetchGroups step/1", 1, true},
                             {"AtAStepsEvent", "RecordEvent step/2", 2},
                             {"AtTheLastStepsEvent", "RecordEvent step/3", 3},
                             {"InTheAblation", "RecordEvent evaluation/end/4", 3},
                             {"InTheAblationByHeartbeat", "FetchGroups ablation/end/2", 3, true}}),
                         [](const auto& c) { return c.param.name; });

TEST_F(JobTest, ASignalLeavesACheckpointAndQueuesTheJobAgain) {
  const std::string straight = Undisturbed();
  coordinator_->Queue(Run("A"));
  coordinator_->on_call = [&](const std::string& line) {
    if (line == "PublishAdapter 2") stop_.request_stop();
  };
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_EQ(coordinator_->Count("ReleaseJob"), 1);
  EXPECT_EQ(Checkpoint("A"), 2);
  stop_ = {};
  coordinator_->on_call = nullptr;
  EXPECT_TRUE(TakeJob().ok());  // queued, and so had at once
  EXPECT_EQ(coordinator_->Count("RecordEvent recovery/2"), 1);
  EXPECT_EQ(coordinator_->LastAdapter(), straight);
}

TEST_F(JobTest, ASignalCutsAWaitForSamplesShort) {
  coordinator_->Queue(Run("A"));
  coordinator_->Starve(true);
  coordinator_->on_call = [&](const std::string& line) {
    if (line == "FetchGroups step/1") stop_.request_stop();
  };
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_EQ(coordinator_->Count("ReleaseJob"), 1);
  EXPECT_EQ(Checkpoint("A"), std::nullopt);
}

TEST_F(JobTest, ACancelledJobIsGivenUpAndLeavesNothing) {
  coordinator_->Queue(Run("A"));
  coordinator_->trainer_timeout_ms = 4;
  coordinator_->on_call = [&](const std::string& line) {
    if (line == "PublishAdapter 2") coordinator_->Cancel();
  };
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_THAT(coordinator_->Diary(), Not(Contains(StartsWith("FinishJob"))));
  EXPECT_EQ(coordinator_->Count("ReleaseJob"), 0);
  EXPECT_EQ(coordinator_->Count("RecordEvent step/2"), 0);
  EXPECT_EQ(NumSteps("A"), 1);
  EXPECT_EQ(Checkpoint("A"), std::nullopt);
}

TEST_F(JobTest, WithLagTheNextBatchIsOpenBeforeTheStepIsDone) {
  coordinator_->Queue(Run("A", ", max_policy_lag: 1"));
  EXPECT_TRUE(TakeJob().ok());
  EXPECT_EQ(coordinator_->Count("FinishJob ok"), 1) << coordinator_->LastError();
  const std::vector<std::string> diary = coordinator_->Diary();
  const auto at = [&](const std::string& line) { return std::find(diary.begin(), diary.end(), line) - diary.begin(); };
  EXPECT_LT(at("OpenBatch step/2"), at("FetchGroups step/1"));
  EXPECT_LT(at("PublishAdapter 1"), at("OpenBatch step/3"));
  EXPECT_LT(at("OpenBatch step/3"), at("FetchGroups step/2"));
  EXPECT_EQ(coordinator_->Count("OpenBatch step/4"), 0);
  EXPECT_EQ(NumSteps("A"), 3);
}

}  // namespace
}  // namespace evilmoe
