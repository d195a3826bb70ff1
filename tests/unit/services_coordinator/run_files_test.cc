#include "services/coordinator/run_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/file.h"
#include "common/file_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace evilmoe {
namespace {

using Code = absl::StatusCode;

class RunFilesTest : public ::testing::Test {
 protected:
  RunFilesTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "runfiles_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    run_ = folder_ / "run";
    std::filesystem::create_directories(run_ / "logs/deep");
    Write(folder_ / "secret", "s");
    Write(run_ / "config.yaml", "name: x");
    Write(run_ / "logs/a.log", "0123456789");
    Write(run_ / "logs/deep/b.log", "");
    std::filesystem::create_symlink(folder_ / "secret", run_ / "absolute_link");
    std::filesystem::create_symlink("../secret", run_ / "relative_link");
    std::filesystem::create_symlink("..", run_ / "up");
    std::filesystem::create_symlink("logs/a.log", run_ / "inner_link");
    mkfifo((run_ / "pipe").c_str(), 0600);
  }
  ~RunFilesTest() override { std::filesystem::remove_all(folder_); }

  static void Write(const std::filesystem::path& path, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(path, text).ok());
  }
  absl::StatusOr<std::string> Read(const std::string& path, int64_t offset = 0) {
    std::string text;
    const absl::Status status = ReadFileBeneath(run_, path, offset, [&](std::string_view chunk, int64_t) {
      text += chunk;
      return true;
    });
    return status.ok() ? absl::StatusOr<std::string>(text) : status;
  }

  std::filesystem::path folder_, run_;
};

TEST_F(RunFilesTest, ReadsFromAnOffset) {
  EXPECT_EQ(Read("logs/a.log").value(), "0123456789");
  EXPECT_EQ(Read("logs/a.log", 7).value(), "789");
  EXPECT_EQ(Read("logs/a.log", 10).value(), "");
  EXPECT_EQ(Read("logs/deep/b.log").value(), "");
  EXPECT_EQ(Read("inner_link").value(), "0123456789") << "it stays inside";
}

TEST_F(RunFilesTest, ReadsLargeFilesInPieces) {
  const std::string text(size_t{5} << 19, 'x');
  Write(run_ / "large", text);
  int calls = 0;
  int64_t size = 0;
  ASSERT_TRUE(ReadFileBeneath(run_, "large", 0, [&](std::string_view chunk, int64_t whole) {
                EXPECT_LE(chunk.size(), size_t{1} << 20);
                size = whole;
                return ++calls > 0;
              }).ok());
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(size, static_cast<int64_t>(text.size()));
}

TEST_F(RunFilesTest, StopsWhenNobodyListens) {
  EXPECT_EQ(ReadFileBeneath(run_, "config.yaml", 0, [](std::string_view, int64_t) { return false; }).code(),
            Code::kCancelled);
}

struct RefusedCase {
  std::string name;
  std::string path;
  Code want = Code::kInvalidArgument;
  int64_t offset = 0;
};
class RefusedPathTest : public RunFilesTest, public ::testing::WithParamInterface<RefusedCase> {};
TEST_P(RefusedPathTest, IsNotRead) {
  const auto text = Read(GetParam().path, GetParam().offset);
  EXPECT_EQ(text.status().code(), GetParam().want) << text.status() << text.value_or("");
}
INSTANTIATE_TEST_SUITE_P(Cases, RefusedPathTest, ::testing::ValuesIn(std::vector<RefusedCase>{
    {"Parent", "../secret"},
    {"ParentInside", "logs/../../secret"},
    {"HarmlessParent", "logs/../config.yaml"},
    {"Absolute", "/etc/passwd"},
    {"AbsoluteLink", "absolute_link"},
    {"RelativeLink", "relative_link"},
    {"LinkedFolder", "up/secret"},
    {"Nul", std::string("config.yaml\0.txt", 16)},
    {"Long", std::string(5000, 'a')},
    {"Folder", "logs"},
    {"Root", ""},
    {"Pipe", "pipe"},
    {"Proc", "/proc/self/environ"},
    {"Missing", "no", Code::kNotFound},
    {"BelowAFile", "config.yaml/x", Code::kNotFound},
    {"BehindTheEnd", "config.yaml", Code::kInvalidArgument, 8},
    {"NegativeOffset", "config.yaml", Code::kInvalidArgument, -1}}),
    [](const auto& c) { return c.param.name; });

TEST_F(RunFilesTest, ListsWhatIsBelow) {
  const auto files = ListFilesBeneath(run_, "");
  ASSERT_TRUE(files.ok()) << files.status();
  std::vector<std::string> paths;
  for (const FileBeneath& file : *files) paths.push_back(file.path);
  EXPECT_THAT(paths, ::testing::ElementsAre("config.yaml", "logs/a.log", "logs/deep/b.log"));
  EXPECT_EQ((*files)[1].size_bytes, 10);
  std::filesystem::last_write_time(run_ / "logs/a.log", FromUnixNanos(1'234'000'567));
  EXPECT_EQ((*ListFilesBeneath(run_, "logs"))[0].modified_unix_ns, 1'234'000'567);
  EXPECT_EQ(ListFilesBeneath(run_, "logs")->size(), 2u);
  EXPECT_EQ((*ListFilesBeneath(run_, "logs/deep"))[0].path, "logs/deep/b.log");
  EXPECT_EQ(ListFilesBeneath(run_, "up").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ListFilesBeneath(run_, "..").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ListFilesBeneath(run_, "none").status().code(), Code::kNotFound);
  EXPECT_EQ(ListFilesBeneath(run_, "", 2).status().code(), Code::kResourceExhausted);
}

}  // namespace
}  // namespace evilmoe
