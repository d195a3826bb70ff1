// As faults_test.cc: no disk, no cgroup.

#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/unit/grader_sandbox/faults_fixture.h"

namespace evilmoe {
namespace {

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
