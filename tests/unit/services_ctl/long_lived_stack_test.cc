// The long-lived stack over real processes (shell scripts in the place of the binaries).

#include "services/ctl/long_lived_stack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "services/ctl/stack_resources.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

class LongLivedStackTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string("up_test_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    options_.home = HomeDirectory{folder_ / "home"};
    options_.layout = LongLivedLayout(options_.home);
    options_.layout.binaries = folder_ / "bin";
    options_.layout.sockets = folder_ / "sockets";
    options_.layout.shape.num_trainers = 2;
    options_.term_timeout = absl::Milliseconds(500);
    std::filesystem::create_directories(options_.layout.logs);
    std::filesystem::create_directories(options_.layout.binaries);
    Script("coordinator", absl::StrCat("echo '{\"pid\": 1, \"metrics_port\": 7}' > ", options_.layout.logs.string(),
                                       "/coordinator.ready.json; exec sleep 60"));
    for (const char* name : {"grader", "rollout", "trainer"}) Script(name, "exec sleep 60");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Script(const std::string& name, const std::string& body) {
    const std::filesystem::path path = options_.layout.binaries / ("evilmoe-" + name);
    std::ofstream(path) << "#!/bin/sh\necho $0 $* $$\n" << body << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  // Runs the stack until `ends`.
  absl::Status RunUntil(const std::function<bool()>& ends) {
    SignalWaiter signals({SIGTERM, SIGCHLD});
    absl::StatusOr<Logger> logger = Logger::Open(options_.layout.logs / "stack.log", "stack", clock_);
    LongLivedStack stack(options_, clock_, *logger, signals);
    std::jthread watcher([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        if (ends()) {
          kill(getpid(), SIGTERM);
          return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    });
    return stack.Run();
  }
  int NumLives(const std::string& name) {
    const std::string text = ReadFile(options_.layout.logs / (name + ".stderr")).value_or("");
    return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  std::filesystem::path folder_;
  RealClock clock_;
  LongLivedOptions options_;
  std::string served_;
};

TEST_F(LongLivedStackTest, ServesUntilItIsAskedToStop) {
  ASSERT_TRUE(RunUntil([&] {
                const bool up = std::filesystem::exists(options_.home.File()) && NumLives("trainer-1") == 1 &&
                                NumLives("rollout-0") == 1 && std::filesystem::exists(options_.home.Targets());
                if (up) served_ = *ReadFile(options_.home.File());
                return up;
              }).ok());
  EXPECT_THAT(served_, HasSubstr(absl::StrCat("unix:", options_.layout.sockets.string(), "/coordinator.sock")));
  EXPECT_FALSE(std::filesystem::exists(options_.home.File())) << "nothing is served any more";
  EXPECT_THAT(*ReadFile(options_.home.Targets()), HasSubstr("127.0.0.1:7"));
  EXPECT_THAT(*ReadFile(options_.layout.configs / "trainer-0.yaml"), HasSubstr("trainer_id: trainer-0"));
}

TEST_F(LongLivedStackTest, StartsAgainWhatDiesAndGivesNothingUp) {
  Script("trainer", "case \"$*\" in *trainer-0*) exit 9;; esac; exec sleep 60");
  ASSERT_TRUE(RunUntil([&] { return NumLives("trainer-0") >= 4; }).ok());
  EXPECT_EQ(NumLives("trainer-1"), 1);
  EXPECT_EQ(NumLives("coordinator"), 1);
}

TEST_F(LongLivedStackTest, AStartThatFailsIsTriedAgain) {
  // What stands in the way of its config file goes after the first start that fails.
  const std::filesystem::path config = options_.layout.configs / "trainer-0.yaml";
  Script("trainer", absl::StrCat("case \"$*\" in *trainer-0*) if [ ! -e ", folder_.string(), "/once ]; then touch ",
                                 folder_.string(), "/once; rm ", config.string(), "; mkdir -p ", config.string(),
                                 "/x; exit 9; fi;; esac; exec sleep 60"));
  ASSERT_EQ(RunUntil([&] {
              const std::string log = ReadFile(options_.layout.logs / "stack.log").value_or("");
              if (log.find("a start that failed: ") == std::string::npos) return false;
              if (std::filesystem::is_directory(config)) std::filesystem::remove_all(config);
              return NumLives("trainer-0") == 2;
            }),
            absl::OkStatus());
  EXPECT_EQ(NumLives("trainer-1"), 1);
}

TEST_F(LongLivedStackTest, ACoordinatorThatCannotStartIsTold) {
  Script("coordinator", "exit 2");
  const absl::Status status = RunUntil([] { return false; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("evilmoe-coordinator ended at its start with exit code 2"));
}

TEST_F(LongLivedStackTest, StoppingWhatIsNotUpIsNoError) {
  EXPECT_EQ(*StopLongLivedStack(options_.home, absl::Seconds(1), clock_), false);
}

TEST(HoldLock, RefusesAfterAWhile) {
  const RealClock clock;
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "hold_lock_test";
  absl::StatusOr<OwnedFd> first = HoldLock(file, clock);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(HoldLock(file, clock).status().code(), absl::StatusCode::kFailedPrecondition);
  *first = OwnedFd();
  EXPECT_TRUE(HoldLock(file, clock).ok());
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace evilmoe
