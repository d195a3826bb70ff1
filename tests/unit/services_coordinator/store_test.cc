#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/coordinator/store.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "store_XXXXXX").string();
    path_ = std::filesystem::path(mkdtemp(pattern.data())) / "store.db";
  }
  ~StoreTest() override { std::filesystem::remove_all(path_.parent_path()); }

  absl::Status Execute(const char* sql) {
    absl::StatusOr<SqliteDatabase> database = SqliteDatabase::Open(path_, SqliteDatabase::Mode::kReadWriteCreate);
    return database.ok() ? database->Execute(sql) : database.status();
  }

  std::filesystem::path path_;
};

TEST_F(StoreTest, KeepsWhatItWasGivenAndAReaderSeesIt) {
  {
    absl::StatusOr<Store> store = Store::Open(path_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE(store->InsertRun({.run_id = "R", .name = "n", .steps_total = 7}).ok());
    ASSERT_TRUE(store->InsertEvent("R", "k", {.unix_ms = 5, .kind = "step", .payload_json = "{}"}).value());
    ASSERT_FALSE(store->InsertEvent("R", "k", {.kind = "again"}).value());
  }
  EXPECT_TRUE(Store::Open(path_).ok());
  absl::StatusOr<Store> reader = Store::OpenReadOnly(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->ListRuns()->size(), 1u);
  EXPECT_EQ(reader->GetRun("R").value()->steps_total, 7);
  EXPECT_EQ(reader->ListEvents("R", 0, 10)->at(0).unix_ms, 5);
  EXPECT_FALSE(reader->InsertRun({.run_id = "S"}).ok());
}

TEST_F(StoreTest, AChangeThatWasNotCommittedNeverHappened) {
  absl::StatusOr<Store> store = Store::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  {
    const auto transaction = store->Begin();
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(store->InsertRun({.run_id = "R"}).ok());
  }
  EXPECT_TRUE(store->ListRuns()->empty());
}

TEST_F(StoreTest, RefusesANewerSchema) {
  ASSERT_TRUE(Store::Open(path_).ok());
  ASSERT_TRUE(Execute("PRAGMA user_version = 99").ok());
  for (const absl::Status& status : {Store::Open(path_).status(), Store::OpenReadOnly(path_).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("schema version 99, expected at most 1"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(path_.string()));
  }
}

TEST_F(StoreTest, RefusesTheDatabaseOfAnotherProgram) {
  ASSERT_TRUE(Execute("CREATE TABLE theirs (x)").ok());
  const std::string before = ReadFile(path_).value();
  EXPECT_EQ(Store::Open(path_).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadFile(path_).value(), before) << "it is left as it was";
}

TEST_F(StoreTest, RefusesWhatIsNoDatabase) {
  ASSERT_TRUE(WriteFileAtomic(path_, std::string(5000, 'x')).ok());
  EXPECT_EQ(Store::Open(path_).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Store::OpenReadOnly(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StoreTest, RefusesADatabaseWithADamagedPage) {
  ASSERT_TRUE(Store::Open(path_).ok());
  std::string bytes = ReadFile(path_).value();
  ASSERT_GT(bytes.size(), 3u * 4096);
  bytes.replace(2 * 4096, 4096, std::string(4096, '\xa5'));
  ASSERT_TRUE(WriteFileAtomic(path_, bytes).ok());
  EXPECT_EQ(Store::Open(path_).status().code(), absl::StatusCode::kDataLoss) << Store::Open(path_).status();
}

TEST_F(StoreTest, HasOneWriterAndAnyReaders) {
  {
    const absl::StatusOr<Store> writer = Store::Open(path_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    const absl::Status second = Store::Open(path_).status();
    EXPECT_EQ(second.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.message()), HasSubstr("another coordinator"));
    EXPECT_TRUE(Store::OpenReadOnly(path_).ok());
  }
  EXPECT_TRUE(Store::Open(path_).ok());
}

TEST_F(StoreTest, AReaderMakesNoFile) {
  EXPECT_EQ(Store::OpenReadOnly(path_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace evilmoe
