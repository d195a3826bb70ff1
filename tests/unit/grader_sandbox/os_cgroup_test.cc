#include "grader_sandbox/os_cgroup.h"

#include <unistd.h>

#include "grader_sandbox/sandbox_host.h"
#include "tests/unit/grader_sandbox/sandbox_test_kit.h"

namespace evilmoe {
namespace {

struct FoldersCase {
  std::string name;
  std::string mountinfo;
  std::string cgroup;
  CgroupFolders want;
};

class CgroupFoldersTest : public ::testing::TestWithParam<FoldersCase> {};

TEST_P(CgroupFoldersTest, AreFound) {
  const CgroupFolders got = ParseCgroupFolders(GetParam().mountinfo, GetParam().cgroup);
  EXPECT_EQ(got.unified, GetParam().want.unified);
  EXPECT_EQ(got.v1_memory, GetParam().want.v1_memory);
  EXPECT_EQ(got.v1_pids, GetParam().want.v1_pids);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CgroupFoldersTest,
    ::testing::ValuesIn(std::vector<FoldersCase>{
        {"Unified", "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/user.slice/x\n",
         {"/sys/fs/cgroup/user.slice/x", "", ""}},
        {"VersionOne",
         "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 25 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup "
         "rw,pids\n",
         "4:memory:/a/b\n8:pids:/\n0::/\n", {"", "/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/pids"}},
        {"Container", "31 25 0:27 /docker/f00 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n", "4:memory:/docker/f00\n",
         {"", "/sys/fs/cgroup/memory", ""}},
        {"None", "22 1 8:1 / / rw - ext4 /dev/sda rw\n", "0::/\n", {}},
        {"Nonsense", "\n- - -\na b c d e f - cgroup\n", "::\nx\n", {}},
    }),
    [](const auto& row) { return row.param.name; });

TEST(SlotCgroupTest, HoldsARunToItsMemory) {
  absl::StatusOr<std::unique_ptr<SandboxHost>> host =
      SandboxHost::Probe({.zygote_binary = ZygoteBinary(), .tier = Tier::kA});
  if (!host.ok()) GTEST_SKIP() << host.status().message();
  if ((*host)->cgroup() == "none") GTEST_SKIP() << "this machine has no cgroup to make others in";
  Cell cell((*host)->CellOptions(101));
  // Touched memory under the limit of address space: only the cgroup ends it while it runs.
  const Verdict bomb = RunAddOne(cell, Method("keep = [bytearray(1 << 20) for _ in range(900)]; return x + 1"),
                                 absl::Seconds(3));
  EXPECT_EQ(bomb.kind, VerdictKind::kMemoryLimit) << VerdictName(bomb.kind) << " " << bomb.error;
  EXPECT_EQ(RunAddOne(cell, Method("return x + 1")).kind, VerdictKind::kPass) << "the zygote was killed with it";
}

TEST(CgroupTreeTest, LeavesNothingBehind) {
  const absl::StatusOr<std::unique_ptr<CgroupTree>> tree = CgroupTree::Find(OwnCgroupFolders());
  if (!tree.ok()) GTEST_SKIP() << tree.status().message();
  const CgroupFolders folders = OwnCgroupFolders();
  const std::filesystem::path parent = (*tree)->version() == "v2" ? folders.unified : folders.v1_memory;
  const std::filesystem::path made = parent / ("evilmoe-" + std::to_string(getpid()) + "-102");
  {
    const absl::StatusOr<std::unique_ptr<SlotCgroup>> slot = (*tree)->MakeSlot("102");
    ASSERT_TRUE(slot.ok()) << slot.status();
    EXPECT_TRUE(std::filesystem::exists(made));
  }
  EXPECT_FALSE(std::filesystem::exists(made));
}

}  // namespace
}  // namespace evilmoe
