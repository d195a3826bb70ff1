#include "services/ctl/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "common/file.h"

namespace evilmoe {
namespace {

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(output_); }
  void TearDown() override { std::filesystem::remove(output_); }
  // Runs a shell line to its end; SIGCHLD says when.
  int RunShell(const std::string& line, std::vector<std::string> default_environment = {}) {
    SignalWaiter signals({SIGCHLD});
    ProcessSpec spec = {.binary = "/bin/sh", .arguments = {"-c", line}, .output = output_};
    spec.default_environment = std::move(default_environment);
    const absl::StatusOr<pid_t> pid = Spawn(spec);
    EXPECT_TRUE(pid.ok()) << pid.status();
    for (int i = 0; i < 100; ++i) {
      if (const std::optional<int> status = Reap(*pid)) return *status;
      signals.Wait(absl::Milliseconds(100));
    }
    ADD_FAILURE() << "did not end: " << line;
    return -1;
  }
  const std::filesystem::path output_ =
      std::filesystem::path(::testing::TempDir()) /
      (std::string("process_test_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ProcessTest, CollectsBothOutputsAndTheExitCode) {
  EXPECT_EQ(DescribeExit(RunShell("echo out; echo err >&2; exit 3")), "exit code 3");
  EXPECT_EQ(DescribeExit(RunShell("kill -9 $$")), "signal 9 (Killed)");
  EXPECT_EQ(*ReadFile(output_), "out\nerr\n");
}

TEST_F(ProcessTest, StandardInputIsEmptyAndSignalsAreDefault) {
  SignalWaiter blocked({SIGTERM});
  EXPECT_EQ(DescribeExit(RunShell("cat; kill -TERM $$; echo survived")), "signal 15 (Terminated)");
  EXPECT_EQ(*ReadFile(output_), "");
}

TEST_F(ProcessTest, ADefaultVariableYieldsToOurs) {
  ASSERT_EQ(setenv("PROCESS_TEST_SET", "ours", 1), 0);
  RunShell("echo $PROCESS_TEST_SET $PROCESS_TEST_UNSET",
           {"PROCESS_TEST_SET=default", "PROCESS_TEST_UNSET=default"});
  ASSERT_EQ(unsetenv("PROCESS_TEST_SET"), 0);
  EXPECT_EQ(*ReadFile(output_), "ours default\n");
}

TEST_F(ProcessTest, AMissingProgramIsNotFound) {
  const absl::Status status = Spawn({.binary = "/nowhere/program", .output = output_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), "/nowhere/program: cannot be started: No such file or directory");
}

TEST(SiblingBinary, SaysWhereItLooked) {
  const absl::Status status = SiblingBinary("evilmoe-none").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::StrContains(status.message(), "/evilmoe-none: not found, expected it beside evilmoe-ctl"));
}

TEST(SignalWaiter, TellsASignalAndATimeout) {
  SignalWaiter signals({SIGUSR1});
  EXPECT_EQ(signals.Wait(absl::ZeroDuration()), 0);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(signals.Wait(absl::Seconds(10)), SIGUSR1);
}

}  // namespace
}  // namespace evilmoe
