#include "services/page/core_run_source.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>

#include "tests/fakes/fake_clock.h"
#include "tests/fakes/memory_store.h"

namespace evilmoe {
namespace {

class CoreRunSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    core_ = CoordinatorCore::Create(store_, {}, clock_, logger_, metrics_).value();
    Submit("run");
  }
  void Submit(const std::string& id) {
    absl::Status submitted;
    Mutex mu;
    bool done = false;
    RunRecord run;
    run.run_id = id;
    run.name = "nano";
    run.config_yaml = "name: nano\n";
    run.steps_total = 4;
    run.directory = "/nowhere";
    core_->SubmitRun(run, [&](absl::StatusOr<RunRecord> answer) {
      MutexLock lock(mu);
      submitted = answer.status();
      done = true;
      mu.NotifyAll();
    });
    MutexLock lock(mu);
    ASSERT_TRUE(mu.AwaitFor(absl::Seconds(10), [&] { return done; }));
    ASSERT_TRUE(submitted.ok()) << submitted;
  }

  FakeClock clock_;
  MemoryStore store_;
  Logger logger_ = Logger::Open("/dev/null", "test", clock_).value();
  prometheus::Registry registry_;
  CoordinatorMetrics metrics_{registry_};
  std::unique_ptr<CoordinatorCore> core_;
};

TEST_F(CoreRunSourceTest, TellsOfRunsAsTheCoreHasThem) {
  CoreRunSource source(*core_);
  ASSERT_EQ(source.List().value().size(), 1u);
  const PageRun run = source.Get("run").value();
  EXPECT_EQ(run.summary.state, "queued");
  EXPECT_EQ(run.config_yaml, "name: nano\n");
  EXPECT_TRUE(absl::IsNotFound(source.Get("other").status()));
  EXPECT_TRUE(absl::IsNotFound(source.Events("other", 0, 10, absl::ZeroDuration()).status()));
}

TEST_F(CoreRunSourceTest, ActsAndTellsWhatHappened) {
  CoreRunSource source(*core_);
  EXPECT_EQ(source.Act("run", PageAction::kPause).value().state, "paused");
  EXPECT_EQ(source.Act("run", PageAction::kResume).value().state, "queued");
  EXPECT_EQ(source.Act("run", PageAction::kCancel).value().state, "cancelled");
  EXPECT_FALSE(source.Act("run", PageAction::kPause).ok());
  EXPECT_EQ(source.Act("run", PageAction::kRetry).value().state, "queued");
  const PageEvents page = source.Events("run", 1, 2, absl::ZeroDuration()).value();
  ASSERT_EQ(page.events.size(), 2u);
  EXPECT_EQ(page.events[0].seq, 2);
  EXPECT_EQ(page.events[0].kind, "state");
}

TEST_F(CoreRunSourceTest, AnswersWhenTheCoreStops) {
  CoreRunSource source(*core_);
  core_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(source.Events("run", 99, 10, absl::Seconds(30)).status()));
}

}  // namespace
}  // namespace evilmoe
