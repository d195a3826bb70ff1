#include "environment/prompt_format.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace evilmoe {
namespace {

TEST(PromptFormat, IsThePublishedOne) {
  EXPECT_EQ(
      UserPrompt("\n Add a and b.\n\xc2\xa0\n", "add", "class Solution:\n    def add(self, a, b):\n        "),
      "PROBLEM:\n"
      "Add a and b.\n"
      "\n"
      "Your solution to the problem should be a method of the class Solution called add and should pass all tests. "
      "Use the following starter code:\n"
      "```python\n"
      "class Solution:\n"
      "    def add(self, a, b):\n"
      "        # Add your code here\n"
      "```\n"
      "\n"
      "SOLUTION:\n");
}

TEST(PromptFormat, GivesTheDescriptionBack) {
  Problem problem;
  EXPECT_EQ(DescriptionOf(problem), "");
  problem.prompt = {{"system", "Be good."}, {"user", UserPrompt(" Add a\n\nand b. ", "add", "class Solution: ...")}};
  EXPECT_EQ(DescriptionOf(problem), "Add a\n\nand b.");
  problem.prompt[1].content = "Something else, and should pass all tests";
  EXPECT_EQ(DescriptionOf(problem), "Something else, and should pass all tests");
}

struct StripCase {
  std::string name, text, want;
};

class StrippedTest : public ::testing::TestWithParam<StripCase> {};

TEST_P(StrippedTest, IsPythonsStrip) { EXPECT_EQ(Stripped(GetParam().text), GetParam().want); }

INSTANTIATE_TEST_SUITE_P(Cases, StrippedTest,
                         ::testing::ValuesIn(std::vector<StripCase>{{"Nothing", "", ""},
                                                                    {"Ascii",
                                                                     " \t\r\n\v\f\x1c\x1f"
                                                                     "a b\n ",
                                                                     "a b"},
                                                                    {"NoBreak",
                                                                     "\xc2\xa0"
                                                                     "a\xc2\xa0 b\n\xc2\xa0\n",
                                                                     "a\xc2\xa0 b"},
                                                                    {"Wide",
                                                                     "\xe3\x80\x80"
                                                                     "a\xe2\x80\x83\xe2\x80\xa8",
                                                                     "a"},
                                                                    {"ZeroWidthSpaceIsNone",
                                                                     "\xe2\x80\x8b"
                                                                     "a",
                                                                     "\xe2\x80\x8b"
                                                                     "a"},
                                                                    {"LettersThatEndAlike", "\xc3\xa0", "\xc3\xa0"},
                                                                    {"OnlySpace", " \xc2\xa0\n", ""}}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
