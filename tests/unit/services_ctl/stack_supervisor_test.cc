// The supervisor over real processes (shell scripts in the place of the binaries) and a scripted coordinator.

#include "services/ctl/stack_supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/fakes/fake_coordinator_link.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

class StackSupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string("stack_test_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    options_.directory = RunDirectory{folder_ / "run"};
    ASSERT_TRUE(options_.directory.Create().ok());
    ASSERT_TRUE(WriteFileAtomic(options_.directory.Config(), "steps: 1\n").ok());
    RunSummary run;
    run.run_id = "R";
    run.name = "nano";
    run.state = "queued";
    ASSERT_TRUE(options_.directory.WriteSummary(run).ok());
    options_.layout = PrivateLayout(options_.directory);
    options_.layout.shape.linger = absl::Milliseconds(300);
    options_.layout.sockets = folder_ / "sockets";
    options_.layout.binaries = folder_ / "bin";
    options_.term_timeout = absl::Milliseconds(300);
    std::filesystem::create_directory(options_.layout.binaries);
    // The run's state follows the file that the scripts leave in the run directory.
    coordinator_.tick = [this](FakeCoordinator& c) {
      RunSummary& held = *c.Find("R");
      const bool done = std::filesystem::exists(options_.directory.path / "trained");
      if (held.state == "queued") held.state = "running";
      if (done && held.state == "running") {
        held.state = "succeeded";
        c.AddEvent("R", "step", {{"step", 1}});
      }
    };
    const std::string run_path = options_.directory.path.string();
    Script("coordinator", absl::StrCat("echo '{\"pid\": 1, \"metrics_port\": 7}' > ", run_path,
                                       "/logs/coordinator.ready.json; exec sleep 60"));
    Script("grader", "exec sleep 60");
    Script("rollout", "trap '' TERM; exec sleep 60");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Script(const std::string& name, const std::string& body) {
    const std::filesystem::path path = options_.layout.binaries / ("evilmoe-" + name);
    std::ofstream(path) << "#!/bin/sh\necho $0 $* $$\n" << body << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  absl::Status RunSupervisor() {
    SignalWaiter signals({SIGTERM, SIGCHLD});
    absl::StatusOr<Logger> logger = Logger::Open(options_.directory.Logs() / "stack.log", "stack", clock_);
    StackSupervisor supervisor(options_, clock_, *logger, signals, [&](const std::string& address) {
      address_ = address;
      return std::make_unique<FakeCoordinatorLink>(coordinator_);
    });
    return supervisor.Run();
  }
  // How often a process was started, and whether any of its lives is still there.
  int NumLives(const std::string& name, bool* any_alive) {
    const std::string text = ReadFile(options_.directory.Logs() / (name + ".stderr")).value_or("");
    int lives = 0;
    for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      ++lives;
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      if (kill(std::stoi(words.back()), 0) == 0) *any_alive = true;
    }
    return lives;
  }

  std::filesystem::path folder_;
  RealClock clock_;
  StackOptions options_;
  std::string address_;
  FakeCoordinator coordinator_;
};

TEST_F(StackSupervisorTest, RestartsATrainerAndEndsEverything) {
  const std::string run = options_.directory.path.string();
  Script("trainer", absl::StrCat("if [ -e ", run, "/once ]; then touch ", run, "/trained; exec sleep 60; fi; touch ",
                                 run, "/once; exit 9"));
  const absl::Status status = RunSupervisor();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(address_, absl::StrCat("unix:", options_.layout.sockets.string(), "/coordinator.sock"));
  EXPECT_EQ(coordinator_.calls, (std::vector<std::string>{"SubmitRun nano"}));
  EXPECT_EQ(coordinator_.configs["R"], "steps: 1\n");
  EXPECT_EQ(coordinator_.Find("R")->state, "succeeded");
  EXPECT_THAT(*ReadFile(options_.directory.Targets()), HasSubstr("127.0.0.1:7"));
  EXPECT_EQ(*ReadFile(options_.directory.StackFile()), absl::StrCat("{\"pid\":", getpid(), ",\"endpoint\":\"\",\"page\":\"\"}\n"))
      << "it serves no more";
  bool any_alive = false;
  EXPECT_EQ(NumLives("trainer", &any_alive), 2);
  for (const char* name : {"coordinator", "grader", "rollout-0"}) EXPECT_EQ(NumLives(name, &any_alive), 1) << name;
  EXPECT_FALSE(any_alive);
}

TEST_F(StackSupervisorTest, GivesUpOnATrainerThatNeverMakesAStep) {
  Script("trainer", "exit 9");
  const absl::Status status = RunSupervisor();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("trainer died 4 times in a row, at last with exit code 9; see "));
  EXPECT_EQ(coordinator_.calls, (std::vector<std::string>{"SubmitRun nano", "FailRun by trainer R"}));
  EXPECT_EQ(coordinator_.Find("R")->state, "failed");
  EXPECT_EQ(coordinator_.Find("R")->error, std::string(status.message()));
  bool any_alive = false;
  EXPECT_EQ(NumLives("trainer", &any_alive), 4);
  EXPECT_EQ(NumLives("rollout-0", &any_alive), 1);
  EXPECT_FALSE(any_alive);
}

TEST_F(StackSupervisorTest, ACoordinatorThatCannotStartFailsTheRun) {
  Script("coordinator", "exit 2");
  const absl::Status status = RunSupervisor();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("evilmoe-coordinator ended at its start with exit code 2; see "));
  EXPECT_EQ(options_.directory.ReadSummary()->state, "failed");
}

TEST_F(StackSupervisorTest, StopsWhenAskedAndLeavesTheRunInterrupted) {
  Script("trainer", absl::StrCat("kill -TERM ", getpid(), "; exec sleep 60"));
  const absl::Status status = RunSupervisor();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(options_.directory.ReadSummary()->state, "interrupted");
}

TEST_F(StackSupervisorTest, ResumesAPausedRunAndEndsWhenItIsPausedAgain) {
  RunSummary run = *options_.directory.ReadSummary();
  run.state = "paused";
  coordinator_.runs.push_back(run);
  options_.action = RunAction::kResume;
  Script("trainer", "exec sleep 60");
  int ticks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    c.Find("R")->state = ++ticks < 3 ? "running" : "paused";
  };
  ASSERT_TRUE(RunSupervisor().ok());
  EXPECT_EQ(coordinator_.calls, (std::vector<std::string>{"SubmitRun nano", "ResumeRun R"}));
  EXPECT_EQ(coordinator_.Find("R")->state, "paused");
  bool any_alive = false;
  EXPECT_EQ(NumLives("trainer", &any_alive), 1);
  EXPECT_FALSE(any_alive);
}

TEST_F(StackSupervisorTest, ARunThatIsWantedWhileTheStackEndsIsNotLost) {
  options_.layout.shape.linger = absl::ZeroDuration();
  Script("trainer", "exec sleep 60");
  bool wanted = false;
  int looks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    RunSummary& run = *c.Find("R");
    ++looks;
    if (run.state == "queued") run.state = "succeeded";
    const std::string file = ReadFile(options_.directory.StackFile()).value_or("");
    const bool ends = file.find("\"endpoint\":\"\"") != std::string::npos;
    if (run.state == "running" && !ends) run.state = "cancelled";  // it serves again
    if (ends && !wanted) run.state = "running";                   // asked for a moment before
    wanted = wanted || ends;
  };
  ASSERT_TRUE(RunSupervisor().ok());
  EXPECT_TRUE(wanted);
  EXPECT_LT(looks, 10);
  EXPECT_EQ(coordinator_.Find("R")->state, "cancelled");
}

TEST_F(StackSupervisorTest, AStackThatCancelledGetsItsWorkersWhenTheRunIsWantedAgain) {
  RunSummary run = *options_.directory.ReadSummary();
  run.state = "running";
  coordinator_.runs.push_back(run);
  options_.action = RunAction::kCancel;
  const std::string path = options_.directory.path.string();
  Script("trainer", absl::StrCat("touch ", path, "/trained; exec sleep 60"));
  int ticks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    RunSummary& held = *c.Find("R");
    if (++ticks == 3) held.state = "running";
    if (std::filesystem::exists(options_.directory.path / "trained")) held.state = "succeeded";
  };
  ASSERT_TRUE(RunSupervisor().ok());
  EXPECT_EQ(coordinator_.Find("R")->state, "succeeded");
  bool any_alive = false;
  EXPECT_EQ(NumLives("trainer", &any_alive), 1);
  EXPECT_FALSE(any_alive);
}

TEST_F(StackSupervisorTest, ACancelStartsNothingButTheCoordinator) {
  RunSummary run = *options_.directory.ReadSummary();
  run.state = "running";
  coordinator_.runs.push_back(run);
  options_.action = RunAction::kCancel;
  Script("trainer", "exec sleep 60");
  ASSERT_TRUE(RunSupervisor().ok());
  EXPECT_EQ(coordinator_.Find("R")->state, "cancelled");
  bool any_alive = false;
  EXPECT_EQ(NumLives("trainer", &any_alive), 0);
  EXPECT_EQ(NumLives("coordinator", &any_alive), 1);
  EXPECT_FALSE(any_alive);
}

}  // namespace
}  // namespace evilmoe
