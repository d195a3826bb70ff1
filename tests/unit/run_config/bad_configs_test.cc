// Every file of tests/unit/trainer/bad_configs/ is refused with exactly the messages that stand in the comments at its
// end: one "#! " line for each problem, in order.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "trainer/run_config.h"

namespace evilmoe {
namespace {

std::vector<std::filesystem::path> BadConfigs() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(EVILMOE_SOURCE_DIR) /
                                                               "tests/unit/trainer/bad_configs")) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class BadConfigTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(BadConfigTest, IsRefusedWithEveryProblem) {
  const absl::StatusOr<std::string> text = ReadFile(GetParam());
  ASSERT_TRUE(text.ok()) << text.status();
  std::vector<std::string> expected;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (absl::StartsWith(line, "#! ")) expected.emplace_back(line.substr(3));
  }
  ASSERT_FALSE(expected.empty());
  const absl::StatusOr<RunConfig> config = ParseRunConfig(*text, "run.yaml", "/nowhere");
  ASSERT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(config.status().message()), absl::StrJoin(expected, "\n"));
}

INSTANTIATE_TEST_SUITE_P(Files, BadConfigTest, ::testing::ValuesIn(BadConfigs()),
                         [](const auto& file) { return file.param.stem().string(); });

}  // namespace
}  // namespace evilmoe
