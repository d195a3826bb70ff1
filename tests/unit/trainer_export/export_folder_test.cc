#include "trainer/export_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "common/file.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class ExportFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::path(::testing::TempDir()) / "export_folder_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  static void Write(const fs::path& path, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(path, text).ok()) << path;
  }
  static std::vector<std::string> Names(const fs::path& folder) {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
      names.push_back(entry.path().filename().string());
    return names;
  }
  absl::StatusOr<ExportFolder> Create(bool force = false) {
    return ExportFolder::Create(root_ / "out", force, {"a.json", "b.bin"});
  }

  fs::path root_;
};

TEST_F(ExportFolderTest, AppearsAtCommitAndWithAllThatWasWritten) {
  auto folder = Create();
  ASSERT_TRUE(folder.ok()) << folder.status();
  Write(folder->path() / "a.json", "{}");
  EXPECT_FALSE(fs::exists(root_ / "out"));
  ASSERT_TRUE(folder->Commit().ok());
  EXPECT_THAT(Names(root_ / "out"), UnorderedElementsAre("a.json"));
  EXPECT_THAT(Names(root_), UnorderedElementsAre("out"));
}

TEST_F(ExportFolderTest, LeavesNothingWithoutCommit) {
  {
    auto folder = Create();
    ASSERT_TRUE(folder.ok()) << folder.status();
    Write(folder->path() / "a.json", "{}");
  }
  EXPECT_TRUE(fs::is_empty(root_));
}

TEST_F(ExportFolderTest, TakesAnEmptyFolderAndMakesParents) {
  fs::create_directory(root_ / "out");
  auto empty = Create();
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_TRUE(empty->Commit().ok());
  auto nested = ExportFolder::Create(root_ / "x" / "y" / "", false, {});
  ASSERT_TRUE(nested.ok()) << nested.status();
  EXPECT_TRUE(nested->Commit().ok());
  EXPECT_TRUE(fs::is_directory(root_ / "x" / "y"));
}

TEST_F(ExportFolderTest, ReplacesAnEarlierExportWithForceAlone) {
  fs::create_directory(root_ / "out");
  Write(root_ / "out" / "a.json", "old");
  const auto refused = Create();
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("is not empty, expected a new folder, or --force"));

  auto folder = Create(/*force=*/true);
  ASSERT_TRUE(folder.ok()) << folder.status();
  Write(folder->path() / "b.bin", "new");
  EXPECT_EQ(*ReadFile(root_ / "out" / "a.json"), "old");
  ASSERT_TRUE(folder->Commit().ok());
  EXPECT_THAT(Names(root_ / "out"), UnorderedElementsAre("b.bin"));
  EXPECT_THAT(Names(root_), UnorderedElementsAre("out"));
}

TEST_F(ExportFolderTest, NeverDeletesWhatNoExportWrote) {
  fs::create_directory(root_ / "out");
  Write(root_ / "out" / "thesis.tex", "years");
  const auto refused = Create(/*force=*/true);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.status().message(), HasSubstr("thesis.tex"));
  EXPECT_EQ(*ReadFile(root_ / "out" / "thesis.tex"), "years");
}

TEST_F(ExportFolderTest, RefusesAFile) {
  Write(root_ / "out", "a file");
  EXPECT_EQ(Create(/*force=*/true).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ExportFolderTest, SaysWhyWhereTheDiskRefuses) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere: run it as another user";
  fs::permissions(root_, fs::perms::owner_read | fs::perms::owner_exec);
  const auto refused = Create();
  fs::permissions(root_, fs::perms::owner_all);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(refused.status().message(), HasSubstr("ermission denied"));
}

}  // namespace
}  // namespace evilmoe
