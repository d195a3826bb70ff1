#include "environment/prompt_tests.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace evilmoe {
namespace {

TEST(PromptTests, TakesTheFirstTenAsserts) {
  const std::vector<std::string> one = {"assert Solution().f(x = 1) == 2"};
  EXPECT_EQ(PromptTests("check", one), "def check():\n    assert Solution().f(x = 1) == 2");
  const std::vector<std::string> many(30, "assert True");
  std::string want = "def check():";
  for (int i = 0; i < 10; ++i) want += "\n    assert True";
  EXPECT_EQ(PromptTests("check", many), want);
}

TEST(PromptTests, StandBeforeTheLastFence) {
  std::string message = "```\nout\n```\nUse:\n```python\nclass Solution:\n```\n\nSOLUTION:\n";
  ASSERT_TRUE(ShowPromptTests("def t():\n    pass", message).ok());
  EXPECT_EQ(message, "```\nout\n```\nUse:\n```python\nclass Solution:\n\ndef t():\n    pass\n```\n\nSOLUTION:\n");
  std::string bare = "no fence";
  EXPECT_EQ(ShowPromptTests("def t(): pass", bare).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(bare, "no fence");
}

struct SameCase {
  std::string name;
  std::string other;  // beside "def t():\n    assert F(1) == 2"
  bool want;
};

class SameTestFunctionTest : public ::testing::TestWithParam<SameCase> {};

TEST_P(SameTestFunctionTest, IgnoresWhiteSpaceAndCaseAlone) {
  EXPECT_EQ(SameTestFunction("def t():\n    assert F(1) == 2", GetParam().other), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(Cases, SameTestFunctionTest,
                         ::testing::ValuesIn(std::vector<SameCase>{
                             {"Equal", "def t():\n    assert F(1) == 2", true},
                             {"Indented", "    def t():\r\n\t\tassert f(1)==2\n\n", true},
                             {"Comment", "def t():\n    # hm\n    assert F(1) == 2", false},
                             {"Weaker", "def t():\n    assert F(1) >= 2", false},
                             {"Method", "def t(self):\n    assert F(1) == 2", false},
                             {"Empty", "", false}}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
