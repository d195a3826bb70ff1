// The machine fails: no descriptor, no process, no cgroup, no disk, no zygote. Such a run is repeated, then lost; it
// never gets a grade. Once the machine is well, so is the same grader.

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "grader_sandbox/grader.h"
#include "tests/unit/grader_sandbox/process_census.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

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
    if (before_) setenv(name_, before_->c_str(), 1);
    else unsetenv(name_);
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

class DiskFaultsTest : public FaultsTest {
 protected:
  void StartTierC() {
    Start({.zygote_binary = ZygoteBinary(), .tier = Tier::kC});
    if (!IsSkipped() && host_->landlock_version() == 0) GTEST_SKIP() << "no files in tier C without Landlock";
  }
  void ExpectReport() {
    const absl::StatusOr<GradeResult> result = Grade(kReports, "file_marker");
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->facts.gt_correct);
    EXPECT_TRUE(result->facts.hint_pass);
  }
};

TEST_F(DiskFaultsTest, NoFolderForFilesIsNoGrade) {
  StartTierC();
  if (IsSkipped() || HasFatalFailure()) return;
  {
    const ChangedVariable temporary("TMPDIR", "/nowhere/evilmoe");
    ExpectLost(Grade(kReports, "file_marker"));
    ExpectRight();  // what needs no files goes on
  }
  ExpectReport();
}

// `options`: of a tmpfs. A folder may still fit; what a solution writes does not.
class FullDiskTest : public DiskFaultsTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(FullDiskTest, IsNoGrade) {
  StartTierC();
  if (IsSkipped() || HasFatalFailure()) return;
  const TemporaryFolder folder;
  if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, GetParam()) != 0)
    GTEST_SKIP() << "no tmpfs may be mounted here";
  {
    const ChangedVariable temporary("TMPDIR", folder.path());
    ExpectLost(Grade(kReports, "file_marker"));
    EXPECT_EQ(NamesIn(folder.path()).size(), 0u) << "a scratch folder was left";
    ASSERT_EQ(mount("tmpfs", folder.path().c_str(), "tmpfs", MS_REMOUNT, "size=4m,nr_inodes=200"), 0);
    ExpectReport();
  }
  EXPECT_EQ(NamesIn(folder.path()).size(), 0u) << "a scratch folder was left";
  EXPECT_TRUE(AwaitHolds([&] { return umount(folder.path().c_str()) == 0; }, std::chrono::seconds(5))) << "in use";
}

INSTANTIATE_TEST_SUITE_P(Ways, FullDiskTest,
                         ::testing::Values("size=4k,nr_inodes=1", "size=4k,nr_inodes=200", "size=4m,nr_inodes=2"),
                         [](const auto& row) { return absl::StrCat("Way", row.index); });

class CgroupFaultsTest : public FaultsTest {
 protected:
  void StartWithCgroups() {
    Start({.zygote_binary = ZygoteBinary(), .tier = Tier::kA});
    if (!IsSkipped() && host_->cgroup() == "none") GTEST_SKIP() << "this machine has no cgroup to make others in";
  }
  // Those of slot 0, after Start().
  static std::vector<fs::path> SlotFolders() {
    std::vector<fs::path> folders;
    const CgroupFolders own = OwnCgroupFolders();
    for (const fs::path& parent : {own.unified.parent_path(), own.v1_memory, own.v1_pids}) {
      const fs::path folder = parent / absl::StrCat("evilmoe-", getpid(), "-0");
      if (!parent.empty() && fs::exists(folder)) folders.push_back(folder);
    }
    return folders;
  }
};

TEST_F(CgroupFaultsTest, FolderOfASlotIsMadeAnew) {
  StartWithCgroups();
  if (IsSkipped() || HasFatalFailure()) return;
  const std::vector<fs::path> folders = SlotFolders();
  ASSERT_FALSE(folders.empty());
  KillZygote();
  for (const fs::path& folder : folders) {
    ASSERT_TRUE(AwaitHolds([&] { return rmdir(folder.c_str()) == 0; }, std::chrono::seconds(5))) << folder;
  }
  ExpectRight();
  for (const fs::path& folder : folders) EXPECT_TRUE(fs::exists(folder)) << folder;
}

TEST_F(CgroupFaultsTest, SlotFullOfTasksIsMadeRoom) {
  StartWithCgroups();
  if (IsSkipped() || HasFatalFailure()) return;
  const std::vector<fs::path> folders = SlotFolders();
  ASSERT_FALSE(folders.empty());
  const fs::path limit = folders.back() / "pids.max";
  if (!fs::exists(limit)) GTEST_SKIP() << "no cgroup here counts tasks";
  const pid_t before = zygote_pid();
  std::ofstream(limit) << 1 << std::flush;
  ExpectRight();
  EXPECT_NE(zygote_pid(), before) << "clone() did not fail";
}

// A cgroup of version 1 around those of a cell, which can be taken away or filled.
class CgroupParentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const CgroupFolders own = OwnCgroupFolders();
    if (geteuid() != 0 || own.v1_memory.empty() || own.v1_pids.empty()) GTEST_SKIP() << "not root with cgroups v1 here";
    const std::string name = absl::StrCat("evilmoe-", getpid(), "-faults");
    memory_ = own.v1_memory / name;
    pids_ = own.v1_pids / name;
    if (!MakeParents()) GTEST_SKIP() << "no cgroup can be made here";
    absl::StatusOr<std::unique_ptr<CgroupTree>> tree =
        CgroupTree::Find({.unified = "", .v1_memory = memory_, .v1_pids = pids_});
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = *std::move(tree);
    cell_ = std::make_unique<Cell>(Cell::Options{.zygote_binary = ZygoteBinary(),
                                                 .isolation = {.tier = Tier::kA, .uid = 61184},
                                                 .name = "120",
                                                 .cgroups = tree_.get()});
  }
  void TearDown() override {
    cell_.reset();
    if (!memory_.empty()) RemoveParents();
  }
  bool MakeParents() const { return mkdir(memory_.c_str(), 0755) == 0 && mkdir(pids_.c_str(), 0755) == 0; }
  bool RemoveParents() const {
    return AwaitHolds([&] { return rmdir(memory_.c_str()) == 0; }, std::chrono::seconds(5)) &&
           AwaitHolds([&] { return rmdir(pids_.c_str()) == 0; }, std::chrono::seconds(5));
  }
  absl::Status RunRight() {
    RecordingJudge judge(1);
    const absl::StatusOr<std::string> call = EncodeCall({.method = "f", .positional = {Value(MakePyInt(1))}});
    return cell_->Run({.source = Method("return x + 1"), .name = "f", .encoded_calls = {*call}}, {}, judge, GoOn)
        .status();
  }

  fs::path memory_, pids_;
  std::unique_ptr<CgroupTree> tree_;
  std::unique_ptr<Cell> cell_;
};

TEST_F(CgroupParentTest, GoneIsNoVerdict) {
  ASSERT_TRUE(RemoveParents());
  EXPECT_EQ(RunRight().code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(MakeParents());
  EXPECT_EQ(RunAddOne(*cell_, Method("return x + 1")).kind, VerdictKind::kPass);
}

TEST_F(CgroupParentTest, FullOfTasksIsNoVerdict) {
  std::ofstream(pids_ / "pids.max") << 1 << std::flush;
  EXPECT_EQ(RunRight().code(), absl::StatusCode::kUnavailable);
  std::ofstream(pids_ / "pids.max") << "max" << std::flush;
  EXPECT_EQ(RunAddOne(*cell_, Method("return x + 1")).kind, VerdictKind::kPass);
}

}  // namespace
}  // namespace evilmoe
