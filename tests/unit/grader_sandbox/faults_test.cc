// The machine fails: no descriptor, no process, no zygote. Such a run is repeated, then lost; it never gets a grade.
// Once the machine is well, so is the same grader.

#include <signal.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "tests/unit/grader_sandbox/faults_fixture.h"

namespace evilmoe {
namespace {

TEST_F(FaultsTest, RunLostWhileAProblemIsPreparedIsCounted) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Problem unknown = AddOne();
  unknown.setup_code = "# another problem\n";
  ASSERT_NO_FATAL_FAILURE(KillZygote());
  const FewDescriptors none(0);
  ExpectLost(grader_->Grade({.problem = unknown, .response = "```python\npass\n```"}, clock_.Now() + absl::Minutes(1)));
}

TEST_F(FaultsTest, NoDescriptorIsNoGrade) {
  ASSERT_NO_FATAL_FAILURE(Start());
  {
    const FewDescriptors none(0);
    ExpectLost();
  }
  ExpectRight();
  KillZygote();
  {
    const FewDescriptors none(0);
    ExpectLost();
  }
  ExpectRight();
}

class FewDescriptorsTest : public FaultsTest, public ::testing::WithParamInterface<Tier> {};

// However many are missing, and wherever in a run: it is graded right, or not at all.
TEST_P(FewDescriptorsTest, NeverChangeAGrade) {
  const TemporaryFolder folder;
  const ChangedVariable temporary("TMPDIR", folder.path());
  Start({.zygote_binary = ZygoteBinary(), .tier = GetParam()});
  if (IsSkipped() || HasFatalFailure()) return;
  if (GetParam() == Tier::kC && host_->landlock_version() == 0) GTEST_SKIP() << "no files in tier C without Landlock";
  int num_lost = 0, num_graded = 0;
  for (int num_free = 0; num_free <= 14; ++num_free) {
    const absl::StatusOr<GradeResult> result = [&] {
      const FewDescriptors few(num_free);
      return Grade(kReports, "file_marker");
    }();
    if (!result.ok()) {
      EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable) << result.status();
      ++num_lost;
      continue;
    }
    ++num_graded;
    EXPECT_TRUE(result->facts.gt_correct) << num_free;
    EXPECT_TRUE(result->facts.hint_pass) << num_free;
  }
  EXPECT_GT(num_lost, 0);
  EXPECT_GT(num_graded, 0);
  EXPECT_EQ(NamesIn(folder.path()).size(), 0u) << "a scratch folder was left";
  ExpectRight();
}

INSTANTIATE_TEST_SUITE_P(Tiers, FewDescriptorsTest, ::testing::Values(Tier::kA, Tier::kB, Tier::kC),
                         [](const auto& row) { return TierName(row.param); });

TEST_F(FaultsTest, ZygoteThatCannotForkIsReplaced) {
  ASSERT_NO_FATAL_FAILURE(Start());
  if (geteuid() == 0 && !host_->own_users()) GTEST_SKIP() << "root here is not held to a number of processes";
  const pid_t before = zygote_pid();
  const rlimit one{.rlim_cur = 1, .rlim_max = 1};
  if (prlimit(before, RLIMIT_NPROC, &one, nullptr) != 0) GTEST_SKIP() << "limits of others may not be set here";
  ExpectRight();
  EXPECT_NE(zygote_pid(), before) << "clone() did not fail";
  EXPECT_EQ(observer_.num_lost, 0);
}

TEST_F(FaultsTest, NoProcessIsNoGrade) {
  ASSERT_NO_FATAL_FAILURE(Start());
  if (geteuid() == 0 && !host_->own_users()) GTEST_SKIP() << "root here is not held to a number of processes";
  KillZygote();
  {
    const LoweredLimit limit(RLIMIT_NPROC, 1);  // zygotes inherit it
    ExpectLost();
  }
  ExpectRight();
}

TEST_F(FaultsTest, ZygoteKilledBetweenRunsIsReplaced) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const pid_t before = zygote_pid();
  KillZygote();
  ExpectRight();
  EXPECT_NE(zygote_pid(), before);
  EXPECT_EQ(observer_.num_lost, 0);
}

TEST_F(FaultsTest, ZygoteKilledInEveryAttemptIsNoGrade) {
  ASSERT_NO_FATAL_FAILURE(Start());
  {
    const std::jthread killer([](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        // The run may be gone by now: its parent is only ours to kill when it is a child of this process.
        const pid_t run = SomeRunBelow(getpid());
        const pid_t zygote = run == 0 ? 0 : StateOf(run).parent;
        if (zygote > 1 && StateOf(zygote).parent == getpid()) kill(zygote, SIGKILL);
      }
    });
    ExpectLost(Grade(Method("import time; time.sleep(0.5); return x + 1")));
  }
  EXPECT_TRUE(AwaitHolds([] { return SomeRunBelow(getpid()) == 0; }, std::chrono::seconds(2)));
  ExpectRight();
}

// A run killed by the machine, not by its grader.
TEST_F(FaultsTest, RunKilledByAnotherInEveryAttemptIsNoGrade) {
  ASSERT_NO_FATAL_FAILURE(Start());
  {
    const std::jthread killer([](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        if (const pid_t run = SomeRunBelow(getpid()); run != 0) kill(run, SIGKILL);
      }
    });
    ExpectLost(Grade(Method("import time; time.sleep(0.5); return x + 1")));
  }
  ExpectRight();
}

TEST_F(FaultsTest, StoppedZygoteIsReplaced) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const pid_t before = zygote_pid();
  ASSERT_EQ(kill(before, SIGSTOP), 0);
  ExpectRight();
  EXPECT_NE(zygote_pid(), before);
  EXPECT_TRUE(IsGone(before));
}

TEST_F(FaultsTest, ZygoteStoppedInARunIsReplaced) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const pid_t before = zygote_pid();
  const std::jthread stopper([&](const std::stop_token&) {
    pid_t run = 0;
    EXPECT_TRUE(AwaitHolds([&] { return (run = SomeRunBelow(getpid())) != 0; }, std::chrono::seconds(20)));
    kill(before, SIGSTOP);
  });
  const absl::StatusOr<GradeResult> result = Grade(Method("import time; time.sleep(0.5); return x + 1"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->facts.gt_correct);
  EXPECT_NE(zygote_pid(), before);
  EXPECT_TRUE(IsGone(before));
}

void WriteProgram(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
  chmod(path.c_str(), 0755);
}

TEST_F(FaultsTest, ZygoteProgramGoneOrReplacedIsNoGrade) {
  const TemporaryFolder folder;
  const fs::path binary = folder.path() / "zygote", away = folder.path() / "away";
  fs::copy_file(ZygoteBinary(), binary);
  ASSERT_NO_FATAL_FAILURE(Start({.zygote_binary = binary, .use_cgroups = false}));
  fs::rename(binary, away);
  ExpectRight();  // by the zygote that is there
  KillZygote();
  ExpectLost();
  const std::string programs[] = {"#!/bin/sh\nexit 0\n", "#!/bin/sh\necho ready to lie >&3\n", "no program",
                                  "#!/bin/sh\nexec kill -9 $$\n"};
  for (const std::string& program : programs) {
    SCOPED_TRACE(program);
    WriteProgram(binary, program);
    ExpectLost();
    fs::remove(binary);
  }
  fs::rename(away, binary);
  ExpectRight();
}

}  // namespace
}  // namespace evilmoe
