// The program itself: how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/child_process.h"
#include "common/clock.h"
#include "common/exit_code.h"
#include "common/file.h"
#include "policy/lora2r.h"
#include "rollout_workers/tiny_run.h"
#include "tests/unit/rollout_workers/fake_coordinator.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Seen = FakeCoordinator::Seen;

constexpr int kMostToEndMs = 30'000;  // what is awaited ends at once or never

class RolloutProcessTest : public ::testing::Test {
 protected:
  RolloutProcessTest() : folder_(MakeFolder()), coordinator_(folder_) { coordinator_.Serve(); }
  ~RolloutProcessTest() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      AwaitEnd();
    }
    coordinator_.Vanish();
    fs::remove_all(folder_);
  }
  static fs::path MakeFolder() {
    std::string pattern = (fs::temp_directory_path() / "rollout_XXXXXX").string();
    return mkdtemp(pattern.data());
  }

  // Nobody grades: a sample waits for its grade for a minute.
  void Start(const std::string& more_config) {
    const fs::path config = folder_ / "rollout.yaml";
    ASSERT_TRUE(
        WriteFileAtomic(config, absl::StrCat("coordinator: \"", coordinator_.address(),
                                             "\"\ngrader: \"unix:", (folder_ / "none.sock").string(),
                                             "\"\nworker_id: w\nlog: ", (folder_ / "log").string(), "\n", more_config))
            .ok());
    const auto pid = Spawn({.binary = fs::path(EVILMOE_BIN_DIR) / "evilmoe-rollout",
                            .arguments = {"--config", config.string()},
                            .output = folder_ / "output"});
    ASSERT_TRUE(pid.ok()) << pid.status();
    pid_ = *pid;
  }
  // A group is sampled and waits for its grades.
  void StartWithAGroup(const std::string& more_config) {
    ASSERT_TRUE(MakeTinyRun(folder_, "evil_moe", 1).ok());
    FakeCoordinator::Work work;
    work.config_yaml = absl::StrCat("model: {path: ", (folder_ / "model").string(), "}\n");
    work.adapter = coordinator_.Publish(
        "R", *Lora2r::Init(LoadQwen3(folder_ / "model")->config, {.rank = 2, .targets = {"q_proj"}})->Serialize());
    work.group.add_prompt_ids(10);
    work.group.set_num_samples(2);
    work.group.mutable_mode()->set_kind(v1::AdapterMode::FULL);
    work.sampling.set_temperature(1);
    work.sampling.set_top_p(1);
    work.sampling.set_max_tokens(2);
    coordinator_.Add(std::move(work));
    Start(more_config);
    // Behind this line it is in the batch before anything else is looked at.
    const absl::Time give_up = RealClock().Now() + absl::Minutes(1);
    while (ReadFile(folder_ / "log").value_or("").find("adapter_loaded") == std::string::npos) {
      ASSERT_LT(RealClock().Now(), give_up);
      std::this_thread::yield();
    }
  }
  // The wait status; a process that does not end fails the test.
  int AwaitEnd() {
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
    pollfd ended{.fd = fd, .events = POLLIN, .revents = 0};
    const int num_ready = poll(&ended, 1, kMostToEndMs);
    close(fd);
    EXPECT_EQ(num_ready, 1) << "still runs";
    if (num_ready != 1) kill(pid_, SIGKILL);
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }
  void ExpectExit(int code) {
    const int status = AwaitEnd();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == code)
        << DescribeExit(status) << ReadFile(folder_ / "log").value_or("");
  }
  bool AwaitHeartbeats(int more) {
    const int before = coordinator_.seen().calls["Heartbeat"];
    return coordinator_.Await([&](const Seen& seen) {
      const auto calls = seen.calls.find("Heartbeat");
      return calls != seen.calls.end() && calls->second >= before + more;
    });
  }

  const fs::path folder_;
  FakeCoordinator coordinator_;
  pid_t pid_ = 0;
};

TEST_F(RolloutProcessTest, IdleItEndsSoonWhenAsked) {
  Start("drain_s: 600\n");
  ASSERT_TRUE(AwaitHeartbeats(1));
  kill(pid_, SIGTERM);
  ExpectExit(0);
}

TEST_F(RolloutProcessTest, EndsThoughAGradeHangsOnceItsDrainIsOver) {
  StartWithAGroup("drain_s: 0\n");
  kill(pid_, SIGTERM);
  ExpectExit(0);
  ASSERT_THAT(coordinator_.seen().given_back, SizeIs(1));
  EXPECT_EQ(coordinator_.seen().given_back[0].reason(), "CANCELLED");
}

TEST_F(RolloutProcessTest, AFailureEndsItThoughAGradeHangs) {
  StartWithAGroup("drain_s: 600\n");
  coordinator_.Refuse("Heartbeat", {grpc::StatusCode::UNAUTHENTICATED, "revoked"});
  ExpectExit(kExitRefused);
  EXPECT_THAT(ReadFile(folder_ / "output").value_or(""), HasSubstr("revoked"));
  EXPECT_THAT(coordinator_.seen().given_back, SizeIs(1));
}

TEST_F(RolloutProcessTest, IsNotReadyWithoutItsToken) {
  Start(absl::StrCat("ready_file: ", (folder_ / "ready.json").string(), "\nsecurity: {token: ",
                     (folder_ / "none.token").string(), "}\n"));
  ExpectExit(kExitNotFound);
  EXPECT_THAT(ReadFile(folder_ / "output").value_or(""), HasSubstr("none.token"));
  EXPECT_FALSE(fs::exists(folder_ / "ready.json"));
}

TEST_F(RolloutProcessTest, ASecondSignalEndsADrainAtOnce) {
  StartWithAGroup("drain_s: 600\n");
  kill(pid_, SIGTERM);
  ASSERT_TRUE(AwaitHeartbeats(5)) << "it lives on, and says so";
  EXPECT_EQ(coordinator_.seen().num_open, 1);
  kill(pid_, SIGTERM);
  ExpectExit(1);
}

TEST_F(RolloutProcessTest, AWrongTokenIsOneClearLine) {
  coordinator_.Refuse("Heartbeat", {grpc::StatusCode::UNAUTHENTICATED, "unknown token"});
  Start("");
  ExpectExit(kExitRefused);
  const std::string output = ReadFile(folder_ / "output").value_or("");
  EXPECT_THAT(output, HasSubstr("check the token"));
  EXPECT_THAT(output, HasSubstr("unknown token"));
  EXPECT_EQ(std::ranges::count(output, '\n'), 1) << output;
}

}  // namespace
}  // namespace evilmoe
