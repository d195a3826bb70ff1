#include "common/output_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/file.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class OutputFileTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_ / "sub"); }
  void TearDown() override { fs::remove_all(folder_); }
  const fs::path folder_ = fs::path(::testing::TempDir()) / ("evilmoe_output_file_test." + std::to_string(getpid()));
};

TEST_F(OutputFileTest, MakesTheFolderAndNoFile) {
  const fs::path out = folder_ / "new/er/out.jsonl";
  const std::vector<fs::path> inputs = {folder_ / "in.jsonl"};
  ASSERT_TRUE(PrepareOutputFile("--out", out, inputs).ok());
  EXPECT_TRUE(fs::is_directory(out.parent_path()));
  EXPECT_FALSE(fs::exists(out));
  ASSERT_TRUE(WriteFileAtomic(out, "old").ok());
  EXPECT_TRUE(PrepareOutputFile("--out", out, inputs).ok());
  EXPECT_TRUE(PrepareOutputFile("--out", "out.jsonl", inputs).ok());
}

TEST_F(OutputFileTest, RefusesWhatWouldBeDestroyed) {
  const fs::path in = folder_ / "in.jsonl";
  ASSERT_TRUE(WriteFileAtomic(in, "rows").ok());
  fs::create_symlink("../in.jsonl", folder_ / "sub/link.jsonl");
  const struct {
    fs::path out;
    std::vector<fs::path> inputs;
    const char* why;
  } cases[] = {
      {in, {"other.jsonl", in}, "is another file of this command"},
      {folder_ / "sub/../in.jsonl", {in}, "is another file of this command"},
      {folder_ / "sub/link.jsonl", {in}, "is another file of this command"},
      {folder_ / "new.jsonl", {folder_ / "sub/../new.jsonl"}, "is another file of this command"},
      {folder_ / "sub", {in}, "a folder"},
      {"/dev/null", {in}, "a device or a pipe"},
      {in / "out.jsonl", {}, "Not a directory"},
  };
  for (const auto& [out, inputs, why] : cases) {
    const absl::Status status = PrepareOutputFile("--dropped", out, inputs);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << out;
    EXPECT_THAT(std::string(status.message()), ::testing::StartsWith("--dropped: ")) << out;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why)) << out;
  }
}

}  // namespace
}  // namespace evilmoe
