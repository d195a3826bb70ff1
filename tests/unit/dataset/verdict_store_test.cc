#include "dataset/verdict_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

class VerdictStoreTest : public FolderTest {
 protected:
  std::unique_ptr<VerdictStore> Open() const {
    absl::StatusOr<std::unique_ptr<VerdictStore>> store = VerdictStore::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  const std::filesystem::path path_ = folder_ / "verdicts.jsonl";
};

TEST_F(VerdictStoreTest, RemembersAcrossProcesses) {
  {
    const auto store = Open();
    EXPECT_EQ(store->Find("a"), std::nullopt);
    ASSERT_TRUE(store->Add("a", {}).ok());
    ASSERT_TRUE(store->Add("b", {DropReason::kCanonical, "its \"text\"\n"}).ok());
    ASSERT_TRUE(store->Add("c", {DropReason::kTests, ""}).ok());
  }
  const auto store = Open();
  ASSERT_TRUE(store->Find("a").has_value());
  EXPECT_EQ(store->Find("a")->reason, std::nullopt);
  ASSERT_TRUE(store->Find("b").has_value());
  EXPECT_EQ(store->Find("b")->reason, DropReason::kCanonical);
  EXPECT_EQ(store->Find("b")->detail, "its \"text\"\n");
  EXPECT_EQ(store->Find("c")->reason, DropReason::kTests);
  EXPECT_EQ(store->Find("d"), std::nullopt);
}

TEST_F(VerdictStoreTest, DropsWhatACrashLeft) {
  ASSERT_TRUE(Open()->Add("a", {}).ok());
  const std::string good = *ReadFile(path_);
  ASSERT_TRUE(
      WriteFileAtomic(path_, good + "{\"key\":\"x\",\"verdict\":\"maybe\",\"detail\":\"\"}\n" + good.substr(0, 9))
          .ok());
  {
    const auto store = Open();
    EXPECT_TRUE(store->Find("a").has_value());
    EXPECT_EQ(store->Find("x"), std::nullopt);
    EXPECT_EQ(*ReadFile(path_), good);
    ASSERT_TRUE(store->Add("b", {}).ok());
  }
  EXPECT_TRUE(Open()->Find("b").has_value());
}

TEST_F(VerdictStoreTest, TakesALastLineWithoutEnd) {
  ASSERT_TRUE(Open()->Add("a", {}).ok());
  const std::string good = *ReadFile(path_);
  ASSERT_TRUE(WriteFileAtomic(path_, good.substr(0, good.size() - 1)).ok());
  ASSERT_TRUE(Open()->Add("b", {}).ok());
  EXPECT_TRUE(Open()->Find("a").has_value());
  EXPECT_TRUE(Open()->Find("b").has_value());
}

}  // namespace
}  // namespace evilmoe
