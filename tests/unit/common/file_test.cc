#include "common/file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>
#include <vector>

namespace evilmoe {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string("file_test_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(FileTest, WriteReplacesTheWholeFile) {
  const std::filesystem::path path = folder_ / "a";
  ASSERT_TRUE(WriteFileAtomic(path, "a longer first text").ok());
  ASSERT_TRUE(WriteFileAtomic(path, std::string_view("b\0c", 3)).ok());
  const absl::StatusOr<std::string> read = ReadFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, std::string("b\0c", 3));
}

TEST_F(FileTest, WriteLeavesNoTemporaryBehind) {
  ASSERT_TRUE(WriteFileAtomic(folder_ / "a", "x").ok());
  size_t num_files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) ++num_files;
  EXPECT_EQ(num_files, 1u);
}

TEST_F(FileTest, AFailedWriteLeavesTheOldFileAndNothingElse) {
  ASSERT_TRUE(WriteFileAtomic(folder_ / "a", "old").ok());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 1 << 16, .rlim_max = before.rlim_max};  // as if the disk were full behind that
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status full = WriteFileAtomic(folder_ / "a", std::string(1 << 20, 'x'));
  EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_FALSE(full.ok());
  EXPECT_EQ(*ReadFile(folder_ / "a"), "old");
  std::filesystem::create_directories(folder_ / "folder/full");
  EXPECT_FALSE(WriteFileAtomic(folder_ / "folder", "x").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
}

TEST_F(FileTest, WritersOfOnePathDoNotMeet) {
  std::atomic<int> num_failed = 0;
  {
    std::vector<std::jthread> writers;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      writers.emplace_back([&, letter] {
        const std::string text(size_t{1} << 18, letter);
        for (int i = 0; i < 10; ++i) {
          if (!WriteFileAtomic(folder_ / "shared", text).ok()) ++num_failed;
          const absl::StatusOr<std::string> read = ReadFile(folder_ / "shared");
          const bool whole = read.ok() && read->size() == text.size() && *read == std::string(text.size(), (*read)[0]);
          if (!whole) ++num_failed;
        }
      });
    }
  }
  EXPECT_EQ(num_failed, 0);
}

TEST_F(FileTest, WhatAKilledWriterLeftIsRemovedAndNothingElse) {
  for (const char* name : {"a.tmp.12", "b.tmp.7", "a", "a.tmp", "a.tmp.", "a.tmp.x1", "a.tmp.12.gz"}) {
    ASSERT_TRUE(WriteFileAtomic(folder_ / name, "x").ok());
  }
  std::filesystem::create_directories(folder_ / "a.tmp.3");
  const auto num_files = [&] { return std::distance(std::filesystem::directory_iterator(folder_), {}); };
  RemoveUnfinishedWrites(folder_, "a");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.tmp.12"));
  EXPECT_EQ(num_files(), 7);
  RemoveUnfinishedWrites(folder_);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "b.tmp.7"));
  EXPECT_EQ(num_files(), 6);
  RemoveUnfinishedWrites(folder_ / "none");
}

TEST_F(FileTest, WriteIntoAMissingFolderNamesThePath) {
  const absl::Status status = WriteFileAtomic(folder_ / "none" / "a", "x");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(status.message().find((folder_ / "none" / "a").string()), absl::string_view::npos) << status;
}

TEST_F(FileTest, ReadOfAMissingFileIsNotFound) {
  EXPECT_EQ(ReadFile(folder_ / "none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, ReadOfAFolderIsUnavailable) {
  EXPECT_EQ(ReadFile(folder_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(FileTest, ReadStopsAtItsLimit) {
  ASSERT_TRUE(WriteFileAtomic(folder_ / "a", "12345").ok());
  EXPECT_TRUE(ReadFile(folder_ / "a", 5).ok());
  EXPECT_EQ(ReadFile(folder_ / "a", 4).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(FileTest, AppendLineAddsWholeLines) {
  ASSERT_TRUE(AppendLine(folder_ / "log", "one").ok());
  ASSERT_TRUE(AppendLine(folder_ / "log", "two").ok());
  EXPECT_EQ(*ReadFile(folder_ / "log"), "one\ntwo\n");
}

}  // namespace
}  // namespace evilmoe
