#include "common/logger.h"

#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/fakes/fake_clock.h"

namespace evilmoe {
namespace {

class LoggerTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(path_); }
  void TearDown() override { std::filesystem::remove(path_); }
  std::vector<std::string> Lines() {
    const std::string text = ReadFile(path_).value_or("");
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }
  const std::filesystem::path path_ =
      std::filesystem::path(::testing::TempDir()) /
      (std::string("logger_test_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
  FakeClock clock_;
};

TEST_F(LoggerTest, WritesOneJsonObjectALine) {
  clock_.Advance(absl::Milliseconds(1500));
  absl::StatusOr<Logger> logger = Logger::Open(path_, "grader", clock_);
  ASSERT_TRUE(logger.ok()) << logger.status();
  logger->Info("started", {{"slots", 4}});
  logger->Error("two\nlines");
  EXPECT_EQ(
      Lines(),
      (std::vector<std::string>{
          R"({"time":"1970-01-01T00:00:01.500Z","level":"INFO","component":"grader","event":"started","slots":4})",
          R"({"time":"1970-01-01T00:00:01.500Z","level":"ERROR","component":"grader","event":"two\nlines"})"}));
}

TEST_F(LoggerTest, BytesThatAreNoTextDoNotBreakTheLine) {
  absl::StatusOr<Logger> logger = Logger::Open(path_, "grader", clock_);
  ASSERT_TRUE(logger.ok()) << logger.status();
  logger->Warn("reply", {{"text", std::string("\xff\xfe", 2)}});
  ASSERT_EQ(Lines().size(), 1u);
  EXPECT_EQ(nlohmann::json::parse(Lines()[0])["text"], "\uFFFD\uFFFD");
}

TEST_F(LoggerTest, AppendsToWhatIsThere) {
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<Logger> logger = Logger::Open(path_, "grader", clock_);
    ASSERT_TRUE(logger.ok()) << logger.status();
    logger->Info("started");
  }
  EXPECT_EQ(Lines().size(), 2u);
}

TEST_F(LoggerTest, APathThatCannotBeOpenedIsNamed) {
  const absl::Status status = Logger::Open("/nowhere/log", "grader", clock_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(std::string(status.message()), "/nowhere/log: cannot open the log: No such file or directory");
}

}  // namespace
}  // namespace evilmoe
