// Every file of tests/unit/trainer/bad_configs/ is refused with exactly the messages that stand in the comments at its
// end: one "#! " line for each problem, in order. A file that can hold no such comment has them in a .txt beside it.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

std::vector<std::filesystem::path> BadConfigs() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(EVILMOE_SOURCE_DIR) /
                                                               "tests/unit/trainer/bad_configs")) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// One line a problem, without the last line's end.
std::string Expected(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::path beside = file;
  if (const auto golden = ReadFile(beside.replace_extension(".txt")); golden.ok()) {
    return std::string(absl::StripSuffix(*golden, "\n"));
  }
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, "#! ")) lines.emplace_back(absl::StripSuffix(line.substr(3), "\r"));
  }
  return absl::StrJoin(lines, "\n");
}

TEST(BadConfigs, AreThirtyOrMore) { EXPECT_GE(BadConfigs().size(), 30u); }

class BadConfigTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(BadConfigTest, IsRefusedWithEveryProblem) {
  const absl::StatusOr<std::string> text = ReadFile(GetParam());
  ASSERT_TRUE(text.ok()) << text.status();
  const std::string expected = Expected(GetParam(), *text);
  ASSERT_FALSE(expected.empty());
  const absl::StatusOr<RunConfig> config = ParseRunConfig(*text, "run.yaml", "/nowhere");
  ASSERT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(config.status().message()), expected);
}

INSTANTIATE_TEST_SUITE_P(Files, BadConfigTest, ::testing::ValuesIn(BadConfigs()),
                         [](const auto& file) { return file.param.stem().string(); });

}  // namespace
}  // namespace evilmoe
