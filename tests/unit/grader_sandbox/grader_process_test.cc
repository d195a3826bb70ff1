// The process evilmoe-grader with a run in flight: killed, told to stop, and with nowhere to log.

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "grader_sandbox/grader_client.h"
#include "grader_sandbox/os_cgroup.h"
#include "tests/unit/grader_sandbox/process_census.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

// Names of the cgroups that a grader made, in every hierarchy it may use.
std::vector<std::string> CgroupsOf(pid_t grader) {
  std::vector<std::string> names;
  const CgroupFolders own = OwnCgroupFolders();
  for (const fs::path& parent : {own.unified, own.v1_memory, own.v1_pids}) {
    if (parent.empty()) continue;
    for (const std::string& name : NamesIn(parent, absl::StrCat("evilmoe-", grader, "-")))
      names.push_back(parent / name);
  }
  return names;
}

class GraderProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "/evilmoe-process-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr) << name;
    folder_ = name;
    client_ = std::make_unique<GraderClient>(absl::StrCat("unix:", socket()), clock_);
  }
  void TearDown() override {
    if (pid_ > 0) kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  std::string socket() const { return folder_ / "grader.sock"; }

  // Until it says that it serves.
  void Start(const std::string& log = "", bool with_cap_kill = true) {
    const fs::path config = folder_ / "grader.yaml", ready = folder_ / "ready.json";
    fs::remove(ready);
    std::ofstream(config) << "listen: \"unix:" << socket() << "\"\nslots: 1\ncpu_limit_s: 10\nready_file: \""
                          << ready.string() << "\"\nlog: \"" << (log.empty() ? (folder_ / "grader.log").string() : log)
                          << "\"\n";
    std::string binary = EVILMOE_BIN_DIR "/evilmoe-grader", flag = "--config", path = config;
    char* arguments[] = {binary.data(), flag.data(), path.data(), nullptr};
    int spawned = -1;
    // On a thread of its own: what that gives up it does not get back.
    std::thread([&] {
      if (!with_cap_kill && prctl(PR_CAPBSET_DROP, CAP_KILL) != 0) return;
      spawned = posix_spawn(&pid_, binary.c_str(), nullptr, nullptr, arguments, environ);
    }).join();
    ASSERT_EQ(spawned, 0);
    ASSERT_TRUE(AwaitHolds([&] { return fs::exists(ready) || IsGone(pid_); }, std::chrono::seconds(60)));
    ASSERT_FALSE(IsGone(pid_)) << "it did not start";
  }
  // Its status as of waitpid().
  int AwaitEnd() {
    EXPECT_TRUE(AwaitHolds([&] { return IsGone(pid_); }, std::chrono::seconds(30)));
    int status = -1;
    EXPECT_EQ(waitpid(std::exchange(pid_, -1), &status, 0) > 0, true);
    return status;
  }

  std::future<absl::StatusOr<GradeResult>> Grade(const std::string& code) {
    return std::async(std::launch::async, [this, code] {
      return client_->Grade({.problem = AddOne(), .response = absl::StrCat("```python\n", code, "\n```")},
                            clock_.Now() + absl::Minutes(1));
    });
  }
  static void ExpectRight(const absl::StatusOr<GradeResult>& result) {
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->facts.gt_correct);
  }
  bool AwaitRun() const {
    return AwaitHolds([&] { return SomeRunBelow(pid_) != 0; }, std::chrono::seconds(30));
  }

  const RealClock clock_;
  fs::path folder_;
  std::unique_ptr<GraderClient> client_;
  pid_t pid_ = -1;
};

const std::string kSlow = Method("import time; time.sleep(0.8 * (x == 1)); return x + 1");

TEST_F(GraderProcessTest, KilledInARunLeavesNothingAndTheNextOneGrades) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ExpectRight(Grade(AddOne().canonical_solution).get());
  std::future<absl::StatusOr<GradeResult>> in_flight = Grade(kSlow);
  ASSERT_TRUE(AwaitRun());
  const std::vector<pid_t> below = ProcessesBelow(pid_);
  ASSERT_GE(below.size(), 2u);
  const pid_t killed = pid_;
  ASSERT_EQ(kill(killed, SIGKILL), 0);
  EXPECT_TRUE(WIFSIGNALED(AwaitEnd()));
  for (const pid_t pid : below) {
    EXPECT_TRUE(AwaitHolds([&] { return IsGone(pid); }, std::chrono::seconds(2))) << pid;
  }
  RecordProperty("cgroups_left", static_cast<int>(CgroupsOf(killed).size()));
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_TRUE(CgroupsOf(killed).empty()) << CgroupsOf(killed)[0];
  ExpectRight(in_flight.get());  // its client asked again
}

TEST_F(GraderProcessTest, SigtermDrainsWhatIsInFlight) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ExpectRight(Grade(AddOne().canonical_solution).get());
  std::future<absl::StatusOr<GradeResult>> in_flight = Grade(kSlow);
  ASSERT_TRUE(AwaitRun());
  const pid_t pid = pid_;
  const std::vector<pid_t> below = ProcessesBelow(pid);
  ASSERT_EQ(kill(pid, SIGTERM), 0);
  const int status = AwaitEnd();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  ASSERT_EQ(in_flight.wait_for(std::chrono::seconds(5)), std::future_status::ready) << "nobody is left to grade it";
  ExpectRight(in_flight.get());
  for (const pid_t left : below) {
    EXPECT_TRUE(AwaitHolds([&] { return IsGone(left); }, std::chrono::seconds(2))) << left;
  }
  EXPECT_TRUE(CgroupsOf(pid).empty());
}

TEST_F(GraderProcessTest, RootWithoutCapKillGradesAndEnds) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, which may give a capability up";
  ASSERT_NO_FATAL_FAILURE(Start("", /*with_cap_kill=*/false));
  ExpectRight(Grade(AddOne().canonical_solution).get());
  ASSERT_EQ(kill(pid_, SIGTERM), 0);
  const int status = AwaitEnd();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  std::ifstream log(folder_ / "grader.log");
  const std::string text((std::istreambuf_iterator<char>(log)), {});
  EXPECT_NE(text.find("root without CAP_KILL"), std::string::npos) << text;
}

TEST_F(GraderProcessTest, ServesWhenItsLogIsFull) {
  ASSERT_NO_FATAL_FAILURE(Start("/dev/full"));
  ExpectRight(Grade(AddOne().canonical_solution).get());
  ASSERT_EQ(kill(pid_, SIGTERM), 0);
  const int status = AwaitEnd();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace evilmoe
