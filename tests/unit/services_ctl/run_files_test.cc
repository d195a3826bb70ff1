#include "services/ctl/run_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "common/file.h"
#include "services/ctl/log_tail.h"
#include "tests/fakes/fake_coordinator_link.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(IsConfined, RefusesWhatLeavesTheDirectory) {
  for (const char* path : {"a", "a/b", "a..b/c", ".a", "..a"}) EXPECT_TRUE(IsConfined(path)) << path;
  for (const char* path : {"", ".", "..", "/a", "a/../b", "a//b", "a/", "./a", "a/.", "../a", "a/.."}) {
    EXPECT_FALSE(IsConfined(path)) << path;
  }
  EXPECT_FALSE(IsConfined(std::string_view("a\0b", 3)));
}

class RunFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              (std::string("run_files_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ / "run/logs");
    ASSERT_TRUE(WriteFileAtomic(folder_ / "run/config.yaml", "steps: 1\n").ok());
    ASSERT_TRUE(WriteFileAtomic(folder_ / "run/logs/trainer.log", "one\ntwo\nthr").ok());
    ASSERT_TRUE(WriteFileAtomic(folder_ / "run/logs/trainer.stderr", "x").ok());
    coordinator_.run_files["R"] = {{"config.yaml", "steps: 1\n"},
                                   {"logs/trainer.log", "one\ntwo\nthr"},
                                   {"logs/trainer.stderr", "x"}};
    coordinator_.files_modified_unix_ns = 1'000;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  // The same files here and by a coordinator.
  std::vector<RunFiles*> Both() { return {&local_, &remote_}; }

  std::filesystem::path folder_ = std::filesystem::path(::testing::TempDir()) / "x";
  FakeCoordinator coordinator_;
  FakeCoordinatorLink link_{coordinator_};
  LocalRunFiles local_{std::filesystem::path(::testing::TempDir()) /
                       (std::string("run_files_") + ::testing::UnitTest::GetInstance()->current_test_info()->name()) /
                       "run"};
  LinkRunFiles remote_{link_, "R"};
};

TEST_F(RunFilesTest, AreTheSameHereAndElsewhere) {
  for (RunFiles* files : Both()) {
    std::vector<std::string> paths;
    const absl::StatusOr<std::vector<RunFileEntry>> all = files->List("");
    ASSERT_TRUE(all.ok()) << all.status();
    for (const RunFileEntry& entry : *all) paths.push_back(entry.path);
    EXPECT_THAT(paths, ElementsAre("config.yaml", "logs/trainer.log", "logs/trainer.stderr"));
    EXPECT_EQ(files->List("logs")->size(), 2u);
    EXPECT_EQ(files->List("logs")->front().size_bytes, 11);
    EXPECT_GT(files->List("logs")->front().modified_unix_ns, 0);
    EXPECT_EQ(*ReadWhole(*files, "config.yaml", 100), "steps: 1\n");
    EXPECT_EQ(ReadWhole(*files, "config.yaml", 5).status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ReadWhole(*files, "nothing", 5).status().code(), absl::StatusCode::kNotFound);
    std::string rest;
    EXPECT_EQ(*files->Read("logs/trainer.log", 4,
                           [&](std::string_view piece) {
                             rest += piece;
                             return absl::OkStatus();
                           }),
              11);
    EXPECT_EQ(rest, "two\nthr");
  }
  EXPECT_EQ(local_.Read("../secret", 0, nullptr).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RunFilesTest, FetchCopiesWhatIsMissing) {
  const std::filesystem::path target = folder_ / "copy";
  std::vector<int64_t> done;
  const auto progress = [&](int64_t now, int64_t total) {
    EXPECT_EQ(total, 20);
    done.push_back(now);
  };
  const std::vector<RunFileEntry> wanted = {{"config.yaml", 9, 5'000'000'007}, {"logs/trainer.log", 11, 7}};
  ASSERT_TRUE(FetchRunFiles(remote_, wanted, target, progress).ok());
  EXPECT_EQ(*ReadFile(target / "logs/trainer.log"), "one\ntwo\nthr");
  EXPECT_EQ(done.back(), 20);
}

TEST_F(RunFilesTest, FetchLeavesWhatIsAsItWas) {
  const std::filesystem::path target = folder_ / "copy";
  // Fetches one file, rewrites it at the coordinator, and fetches it again as `now` lists it; what is there then.
  const auto again = [&](const RunFileEntry& before, const std::string& text, const RunFileEntry& now) {
    const auto silent = [](int64_t, int64_t) {};
    coordinator_.run_files["R"]["config.yaml"] = "steps: 1\n";
    EXPECT_TRUE(FetchRunFiles(remote_, std::vector{before}, target, silent).ok());
    coordinator_.run_files["R"]["config.yaml"] = text;
    EXPECT_TRUE(FetchRunFiles(remote_, std::vector{now}, target, silent).ok());
    return ReadFile(target / "config.yaml").value_or("none");
  };
  EXPECT_EQ(again({"config.yaml", 9, 7'000}, "STEPS: 1\n", {"config.yaml", 9, 7'000}), "steps: 1\n") << "not asked for";
  EXPECT_EQ(again({"config.yaml", 9, 7'000}, "STEPS: 1\n", {"config.yaml", 9, 8'000}), "STEPS: 1\n") << "another time";
  EXPECT_EQ(again({"config.yaml", 9, 7'000}, "steps: 12\n", {"config.yaml", 10, 7'000}), "steps: 12\n");
  EXPECT_EQ(again({"config.yaml", 9}, "STEPS: 1\n", {"config.yaml", 9}), "STEPS: 1\n") << "nobody knows";
}

TEST_F(RunFilesTest, FetchTrustsNoPathAndNoSize) {
  const auto silent = [](int64_t, int64_t) {};
  const std::vector<RunFileEntry> outside = {{"../outside", 1}};
  EXPECT_EQ(FetchRunFiles(remote_, outside, folder_ / "copy", silent).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "outside"));
  const std::vector<RunFileEntry> longer = {{"config.yaml", 10}};
  EXPECT_EQ(FetchRunFiles(remote_, longer, folder_ / "copy", silent).code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "copy/config.yaml"));
}

// A log whose reads break off after a few bytes.
class BreakingLog final : public RunFiles {
 public:
  absl::StatusOr<std::vector<RunFileEntry>> List(const std::string&) override {
    return std::vector<RunFileEntry>{{"logs/trainer.log", static_cast<int64_t>(text_.size())}};
  }
  absl::StatusOr<int64_t> Read(const std::string&, int64_t offset, const Sink& sink) override {
    if (offset == static_cast<int64_t>(text_.size())) return offset;
    EXPECT_TRUE(sink(std::string_view(text_).substr(static_cast<size_t>(offset), 6)).ok());
    return absl::UnavailableError("broke off");
  }

 private:
  const std::string text_ = "one\ntwo\nthree\n";
};

TEST_F(RunFilesTest, ALogGoesOnWhereItBrokeOff) {
  BreakingLog files;
  absl::StatusOr<LogTail> tail = LogTail::Open(files, "trainer");
  ASSERT_TRUE(tail.ok()) << tail.status();
  std::ostringstream out;
  int breaks = 0;
  while (absl::IsUnavailable(tail->CopyTo(out))) ASSERT_LE(++breaks, 3);
  EXPECT_EQ(breaks, 3);
  EXPECT_EQ(out.str(), "one\ntwo\nthree\n");
}

TEST_F(RunFilesTest, ALogIsReadOnInWholeLines) {
  for (RunFiles* files : Both()) {
    absl::StatusOr<LogTail> tail = LogTail::Open(*files, "trainer");
    ASSERT_TRUE(tail.ok()) << tail.status();
    std::ostringstream out;
    ASSERT_TRUE(tail->CopyTo(out).ok());
    EXPECT_EQ(out.str(), "one\ntwo\n");
    ASSERT_TRUE(AppendFile(folder_ / "run/logs/trainer.log", "ee\x1b\n").ok());
    coordinator_.run_files["R"]["logs/trainer.log"] += "ee\x1b\n";
    ASSERT_TRUE(tail->CopyTo(out).ok());
    EXPECT_EQ(out.str(), "one\ntwo\nthree\\x1b\n");
    ASSERT_TRUE(WriteFileAtomic(folder_ / "run/logs/trainer.log", "one\ntwo\nthr").ok());
    coordinator_.run_files["R"]["logs/trainer.log"] = "one\ntwo\nthr";
    const absl::Status none = LogTail::Open(*files, "grader").status();
    EXPECT_EQ(none.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(none.message()), HasSubstr("expected one of trainer"));
  }
}

}  // namespace
}  // namespace evilmoe
