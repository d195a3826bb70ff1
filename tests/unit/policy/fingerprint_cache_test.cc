#include "policy/fingerprint_cache.h"

#include <gtest/gtest.h>

#include "common/file.h"
#include "common/file_time.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;

class FingerprintCacheTest : public ::testing::Test {
 protected:
  FingerprintCacheTest() {
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "blobs");
    Write("blobs/a", "one", 1);
    fs::create_symlink("blobs/a", folder_ / "model.safetensors");
  }
  ~FingerprintCacheTest() override { fs::remove_all(folder_); }

  void Write(const std::string& name, const std::string& text, int64_t unix_ns) {
    EXPECT_TRUE(WriteFileAtomic(folder_ / name, text).ok());
    fs::last_write_time(folder_ / name, FromUnixNanos(unix_ns));
  }
  // How often the weights were read after one more question.
  int ReadsAfterAsking() {
    const absl::StatusOr<std::string> got = cache_.Of(folder_);
    EXPECT_EQ(got.status(), answer_.status());
    EXPECT_EQ(got.value_or(""), answer_.value_or(""));
    return num_reads_;
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / "fingerprint_cache_test";
  absl::StatusOr<std::string> answer_ = "aa";
  int num_reads_ = 0;
  FingerprintCache cache_{[this](const fs::path&) {
    ++num_reads_;
    return answer_;
  }};
};

TEST_F(FingerprintCacheTest, ReadsOnceUntilAFileChanges) {
  EXPECT_EQ(ReadsAfterAsking(), 1);
  EXPECT_EQ(ReadsAfterAsking(), 1);
  Write("config.json", "{}", 9);
  EXPECT_EQ(ReadsAfterAsking(), 1) << "no weights";
  answer_ = "bb";
  Write("blobs/a", "one", 2);
  EXPECT_EQ(ReadsAfterAsking(), 2) << "another time, behind the link";
  Write("blobs/a", "other", 2);
  EXPECT_EQ(ReadsAfterAsking(), 3) << "another size";
  Write("model.safetensors.index.json", "{}", 2);
  EXPECT_EQ(ReadsAfterAsking(), 4) << "another file";
  EXPECT_EQ(ReadsAfterAsking(), 4);
  EXPECT_TRUE(cache_.Of(folder_ / "blobs").ok());
  EXPECT_EQ(num_reads_, 5) << "another folder";
  EXPECT_EQ(ReadsAfterAsking(), 5);
}

TEST_F(FingerprintCacheTest, RemembersNoError) {
  answer_ = absl::UnavailableError("Input/output error");
  EXPECT_EQ(ReadsAfterAsking(), 1);
  answer_ = "aa";
  EXPECT_EQ(ReadsAfterAsking(), 2);
  EXPECT_EQ(ReadsAfterAsking(), 2);
}

}  // namespace
}  // namespace evilmoe
