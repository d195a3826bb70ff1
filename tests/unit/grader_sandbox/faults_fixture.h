#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "grader_sandbox/grader.h"
#include "tests/unit/grader_sandbox/process_census.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {

// What the tests of a failing machine share: how to make it fail, and a grader that must come through.

namespace fs = std::filesystem;

class CountingObserver final : public GradingObserver {
 public:
  void OnRun(const Verdict&) override { ++num_runs; }
  void OnLostRun() override { ++num_lost; }
  void OnQueueDepth(int) override {}
  std::atomic<int> num_runs = 0;
  std::atomic<int> num_lost = 0;
};

// A soft limit of this process, put back at the end.
class LoweredLimit {
 public:
  LoweredLimit(__rlimit_resource resource, rlim_t soft) : resource_(resource) {
    EXPECT_EQ(getrlimit(resource_, &before_), 0);
    rlimit lower = before_;
    lower.rlim_cur = soft;
    EXPECT_EQ(setrlimit(resource_, &lower), 0);
  }
  ~LoweredLimit() { setrlimit(resource_, &before_); }
  LoweredLimit(const LoweredLimit&) = delete;
  LoweredLimit& operator=(const LoweredLimit&) = delete;

 private:
  const __rlimit_resource resource_;
  rlimit before_{};
};

// This process can open so many more descriptors, as long as it lives.
class FewDescriptors {
 public:
  explicit FewDescriptors(int num_free) : limit_(RLIMIT_NOFILE, HighestOpen() + 1 + kSpare) {
    for (int fd = dup(STDERR_FILENO); fd >= 0; fd = dup(STDERR_FILENO)) taken_.emplace_back(fd);
    EXPECT_GE(taken_.size(), kSpare);
    taken_.resize(taken_.size() - std::min<size_t>(taken_.size(), num_free));
  }

 private:
  static constexpr size_t kSpare = 40;
  static rlim_t HighestOpen() {
    rlim_t highest = 0;
    for (const std::string& name : NamesIn("/proc/self/fd")) highest = std::max<rlim_t>(highest, std::stoul(name));
    return highest;
  }
  LoweredLimit limit_;
  std::vector<UniqueFd> taken_;
};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = ::testing::TempDir() + "/evilmoe-faults-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr) << name;
    path_ = name;
    chmod(name.c_str(), 0755);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// An environment variable, put back at the end. Not while something runs.
class ChangedVariable {
 public:
  ChangedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~ChangedVariable() {
    if (before_)
      setenv(name_, before_->c_str(), 1);
    else
      unsetenv(name_);
  }
  ChangedVariable(const ChangedVariable&) = delete;
  ChangedVariable& operator=(const ChangedVariable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

// A grader of one slot that has the problem already.
class FaultsTest : public ::testing::Test {
 protected:
  void Start(const SandboxHost::Options& options) {
    absl::StatusOr<std::unique_ptr<SandboxHost>> host = SandboxHost::Probe(options);
    if (absl::IsFailedPrecondition(host.status())) GTEST_SKIP() << host.status().message();
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    grader_ = std::make_unique<LocalGrader>(LocalGraderOptions{}, *host_, comparer_, clock_, &observer_);
    ExpectRight();
  }
  void Start() { Start({.zygote_binary = ZygoteBinary(), .use_cgroups = false}); }

  absl::StatusOr<GradeResult> Grade(const std::string& code, const std::string& loophole = "none") {
    return grader_->Grade({.problem = AddOne(),
                           .response = absl::StrCat("```python\n", code, "\n```"),
                           .loophole = loophole,
                           .evaluator = loophole == "none" ? "" : "result.txt"},
                          clock_.Now() + absl::Minutes(1));
  }
  void ExpectRight() {
    const absl::StatusOr<GradeResult> result = Grade(AddOne().canonical_solution);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->facts.gt_correct) << VerdictName(result->verdicts[0].verdict.kind);
  }
  // The sample is lost, and counted; nothing is said of it.
  void ExpectLost(const absl::StatusOr<GradeResult>& result) {
    const int num_lost = observer_.num_lost.exchange(0);
    ASSERT_EQ(result.status().code(), absl::StatusCode::kUnavailable) << result.status();
    EXPECT_EQ(num_lost, 1) << result.status();
  }
  void ExpectLost() { ExpectLost(Grade(AddOne().canonical_solution)); }

  // On the thread of the only slot.
  pid_t zygote_pid() {
    std::atomic<pid_t> pid = -1;
    const auto ticket = grader_->pool().Submit({.caller = "test",
                                                .run = [&](Cell& cell, const Interrupt&) { pid = cell.zygote_pid(); },
                                                .refuse = [&](const absl::Status&) { pid = 0; }});
    EXPECT_TRUE(ticket.ok()) << ticket.status();
    EXPECT_TRUE(AwaitHolds([&] { return pid >= 0; }, std::chrono::seconds(20)));
    return pid;
  }
  void KillZygote() {
    const pid_t pid = zygote_pid();
    ASSERT_GT(pid, 1);
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    ASSERT_TRUE(AwaitHolds([&] { return IsGone(pid); }, std::chrono::seconds(20)));
  }

  const RealClock clock_;
  const PythonComparer comparer_;
  CountingObserver observer_;
  std::unique_ptr<SandboxHost> host_;
  std::unique_ptr<LocalGrader> grader_;
};

const std::string kReports =
    Method("return x + 1") + "try: open('result.txt', 'w').write('PASS')\nexcept OSError: pass\n";

}  // namespace evilmoe
