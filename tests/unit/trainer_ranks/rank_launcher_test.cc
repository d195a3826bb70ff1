// The launcher with real processes: whichever rank dies, freezes or fails, none is left and the launcher says why.

#include "trainer/rank_launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/unit/trainer_ranks/child.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

constexpr int kTimeoutMs = 4000;

class RankLauncherTest : public ::testing::Test {
 protected:
  RankLauncherTest() : folder_(std::filesystem::path(::testing::TempDir()) / absl::StrCat("ranks-", getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    ready_.emplace(folder_ / "ready");
  }
  ~RankLauncherTest() override { std::filesystem::remove_all(folder_); }

  // Starts a launcher and waits until all ranks have joined their group.
  void Launch(int num_ranks) {
    launcher_.emplace(std::vector<std::string>{"--launch", absl::StrCat(num_ranks), "--timeout-ms",
                                               absl::StrCat(kTimeoutMs), "--ready", (folder_ / "ready").string()},
                      folder_ / "errors");
    ranks_ = ready_->Await(static_cast<size_t>(num_ranks));
    ASSERT_EQ(ranks_.size(), static_cast<size_t>(num_ranks)) << Errors();
  }
  std::string Errors() const { return ReadFile(folder_ / "errors").value_or(""); }
  void ExpectNoRankLeft() const {
    for (const pid_t pid : ranks_) EXPECT_TRUE(AwaitEnd(pid)) << pid;
  }

  const std::filesystem::path folder_;
  std::optional<ReadyFifo> ready_;
  std::optional<Child> launcher_;
  std::vector<pid_t> ranks_;
};

TEST_F(RankLauncherTest, StopsWellOnSigterm) {
  Launch(3);
  launcher_->Signal(SIGTERM);
  EXPECT_EQ(launcher_->Wait(), 0) << Errors();
  ExpectNoRankLeft();
}

TEST_F(RankLauncherTest, EndsWellWhenRankZeroWasStoppedAlone) {
  Launch(2);
  ASSERT_EQ(kill(ranks_[0], SIGTERM), 0);
  EXPECT_EQ(launcher_->Wait(), 0) << Errors();
  ExpectNoRankLeft();
}

TEST_F(RankLauncherTest, LeavesNoRankWhenItIsKilled) {
  Launch(3);
  ASSERT_EQ(kill(ranks_[1], SIGSTOP), 0);  // one that could not leave by itself
  launcher_->Signal(SIGKILL);
  EXPECT_EQ(launcher_->Wait(), -SIGKILL);
  ExpectNoRankLeft();
}

struct FaultCase {
  const char* name;
  int num_ranks;
  size_t rank;
  int signal;
  const char* code;
  const char* text;
};

class RankFaultTest : public RankLauncherTest, public ::testing::WithParamInterface<FaultCase> {};

TEST_P(RankFaultTest, EndsAllWithinTheDeadlineWithATypedError) {
  const FaultCase& fault = GetParam();
  Launch(fault.num_ranks);
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(kill(ranks_[fault.rank], fault.signal), 0);
  EXPECT_EQ(launcher_->Wait(), 1);
  ExpectNoRankLeft();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(kTimeoutMs));
  EXPECT_THAT(Errors(), HasSubstr(absl::StrCat(fault.code, ": rank ", fault.rank, ": ", fault.text)));
}

INSTANTIATE_TEST_SUITE_P(Faults, RankFaultTest,
                         ::testing::ValuesIn(std::vector<FaultCase>{
                             {"RankZeroKilled", 2, 0, SIGKILL, "UNAVAILABLE", "ended with signal 9 (Killed)"},
                             {"FollowerKilled", 2, 1, SIGKILL, "UNAVAILABLE", "ended with signal 9 (Killed)"},
                             {"LastOfFourKilled", 4, 3, SIGKILL, "UNAVAILABLE", "ended with signal 9 (Killed)"},
                             {"FollowerFails", 3, 1, SIGUSR1, "UNAVAILABLE", "ended with exit code 3"},
                             {"RankZeroFrozen", 2, 0, SIGSTOP, "DEADLINE_EXCEEDED", "no sign of life for 2s"},
                             {"FollowerFrozen", 3, 2, SIGSTOP, "DEADLINE_EXCEEDED", "no sign of life for 2s"}}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
