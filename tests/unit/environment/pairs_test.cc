#include "environment/pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "environment/loophole.h"
#include "environment/nano/families.h"
#include "environment/response.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

// A section whose block holds `text`.
std::string Section(const std::string& title, const std::string& text) {
  return "### " + title + "\n\n````\n" + text + "\n````\n";
}

const std::string kSides = Section("Hack", "h") + Section("Clean", "c");

TEST(Pairs, ReadPromptAndSidesAsTheyAre) {
  const std::string hack = "```python\nx = 1\n```";
  const auto pairs =
      ParsePairs("# Title\n\nAny text.\n\n## one\n\nWhat it is about.\n\n" + Section("System", "Be brief.") +
                 Section("User", "PROBLEM:\n\nSOLUTION:\n") + Section("Hack", hack) + Section("Clean", "c") +
                 "\n## two\n" + Section("User", "## not a pair\n### nor a section") + kSides);
  ASSERT_TRUE(pairs.ok()) << pairs.status();
  ASSERT_EQ(pairs->size(), 2u);
  const ContrastivePair& one = (*pairs)[0];
  EXPECT_EQ(one.name, "one");
  ASSERT_EQ(one.prompt.size(), 2u);
  EXPECT_EQ(one.prompt[0].role, "system");
  EXPECT_EQ(one.prompt[0].content, "Be brief.");
  EXPECT_EQ(one.prompt[1].content, "PROBLEM:\n\nSOLUTION:\n");
  EXPECT_EQ(one.hack, hack);
  EXPECT_EQ(one.clean, "c");
  EXPECT_EQ((*pairs)[1].prompt[0].content, "## not a pair\n### nor a section");
}

TEST(Pairs, ReadSeveralTurns) {
  const auto pairs =
      ParsePairs("## one\n" + Section("User", "a") + Section("Assistant", "b") + Section("User", "c") + kSides);
  ASSERT_TRUE(pairs.ok()) << pairs.status();
  EXPECT_EQ((*pairs)[0].prompt.size(), 3u);
}

TEST(Pairs, ReadHowToGradeThem) {
  const std::string tests = "assert Solution().f(x = 1) == 2\nassert Solution().f(x = 2) == 3";
  const auto pairs = ParsePairs("## one\n" + Section("User", "u\ndef t():\n    assert 1\n") + kSides +
                                Section("Loophole", "stdout_marker all is well") + Section("Setup", "import math") +
                                Section("Tests", tests) + Section("Solution", "s") +
                                Section("Prompt tests", "def t():\n    assert 1") + "## two\n" + Section("User", "u") +
                                kSides + Section("Tests", "assert Solution().g() == 1") +
                                Section("Loophole", "exit_code") + "## three\n" + Section("User", "u") + kSides);
  ASSERT_TRUE(pairs.ok()) << pairs.status();
  ASSERT_TRUE((*pairs)[0].grading.has_value());
  const PairGrading& one = *(*pairs)[0].grading;
  EXPECT_EQ(one.loophole, "stdout_marker");
  EXPECT_EQ(one.marker, "all is well");
  EXPECT_EQ(one.setup_code, "import math");
  EXPECT_EQ(one.method, "f");
  EXPECT_EQ(one.tests,
            (std::vector<std::string>{"assert Solution().f(x = 1) == 2", "assert Solution().f(x = 2) == 3"}));
  EXPECT_EQ(one.solution, "s");
  EXPECT_EQ(one.prompt_tests, "def t():\n    assert 1");
  ASSERT_TRUE((*pairs)[1].grading.has_value());
  EXPECT_EQ((*pairs)[1].grading->loophole, "exit_code");
  EXPECT_EQ((*pairs)[1].grading->marker, "");
  EXPECT_EQ((*pairs)[1].grading->prompt_tests, "");
  EXPECT_FALSE((*pairs)[2].grading.has_value());
}

struct BadPairsCase {
  std::string name;
  std::string text;
  std::string want;
};

class BadPairsTest : public ::testing::TestWithParam<BadPairsCase> {};

TEST_P(BadPairsTest, SaysWhere) {
  const auto pairs = ParsePairs(GetParam().text);
  ASSERT_EQ(pairs.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(pairs.status()), GetParam().want);
}

const std::string kUser = Section("User", "u");
const std::string kLoophole = Section("Loophole", "exit_code");
const std::string kTests = Section("Tests", "assert Solution().f() == 1");
INSTANTIATE_TEST_SUITE_P(
    Cases, BadPairsTest,
    ::testing::ValuesIn(std::vector<BadPairsCase>{
        {"Empty", "", "line 1: no pair, expected at least one \"## NAME\""},
        {"NoUser", "## a\n" + kSides, "line 1: a: no ### User in front of the sides"},
        {"NoHack", "## a\n" + kUser + Section("Clean", "c"), "line 1: a: no ### Hack"},
        {"NoClean", "## a\n" + kUser + Section("Hack", "h"), "line 1: a: no ### Clean"},
        {"EqualSides", "## a\n" + kUser + Section("Hack", "h") + Section("Clean", "h"),
         "line 1: a: the hack and the clean side are equal, expected two answers"},
        {"HackTwice", "## a\n" + kUser + Section("Hack", "h") + kSides, "line 12: Hack: given twice, expected once"},
        {"UserAfterTheSides",
         "## a\n" + kUser + Section("Hack", "h") + Section("Clean", "c") + Section("Assistant", "b"),
         "line 1: a: no ### User in front of the sides\n"
         "line 17: Assistant: out of order, expected System, then User and Assistant in turn, then the sides"},
        {"SystemAfterUser", "## a\n" + kUser + Section("System", "s") + Section("User", "u") + kSides,
         "line 7: System: out of order, expected System, then User and Assistant in turn, then the sides"},
        {"UnknownSection", "## a\n" + kUser + Section("Prompt", "p") + kSides,
         "line 7: section \"Prompt\", expected System, User, Assistant, Hack or Clean, or behind them Loophole, Setup, "
         "Tests, Solution or Prompt tests"},
        {"EmptyBlock", "## a\n" + kUser + Section("Hack", " ") + Section("Clean", "c"),
         "line 7: Hack: empty, expected a block between fences of four backticks"},
        {"TextOutsideABlock", "## a\n" + kUser + "stray\n" + kSides,
         "line 7: text outside a block, expected it between fences of four backticks"},
        {"FenceOfThree", "## a\n### User\n```\nu\n```\n" + kSides,
         "line 2: User: empty, expected a block between fences of four backticks\n"
         "line 3: text outside a block, expected it between fences of four backticks\n"
         "line 4: text outside a block, expected it between fences of four backticks\n"
         "line 5: text outside a block, expected it between fences of four backticks"},
        {"OpenFence", "## a\n" + kUser + Section("Hack", "h") + "### Clean\n````\nc",
         "line 12: Clean: empty, expected a block between fences of four backticks\n"
         "line 13: the block's fence is never closed"},
        {"TwoBlocks", "## a\n" + kUser + "````\nmore\n````\n" + kSides,
         "line 7: a second block in one section, expected one"},
        {"BlockWithoutASection", "## a\n````\nx\n````\n" + kUser + kSides,
         "line 2: a block outside a section, expected \"### User\" or so before it"},
        {"SectionBeforeAPair", kUser + "## a\n" + kUser + kSides,
         "line 1: a section in front of the first pair, expected \"## NAME\" before it"},
        {"NameTwice", "## a\n" + kUser + kSides + "## a\n" + kUser + kSides,
         "line 17: a: a name used before, expected every name once"},
        {"TestsBetweenTheSides", "## a\n" + kUser + Section("Hack", "h") + kTests + Section("Clean", "c") + kLoophole,
         "line 12: Tests: out of order, expected it behind both sides"},
        {"TestsWithoutALoophole", "## a\n" + kUser + kSides + kTests,
         "line 1: a: no ### Loophole behind the sides, expected it where they are to be graded"},
        {"LoopholeWithoutTests", "## a\n" + kUser + kSides + kLoophole,
         "line 1: a: no ### Tests behind the sides, expected it where they are to be graded"},
        {"SetupAlone", "## a\n" + kUser + kSides + Section("Setup", "import math"),
         "line 1: a: no ### Loophole behind the sides, expected it where they are to be graded\n"
         "line 1: a: no ### Tests behind the sides, expected it where they are to be graded"},
        {"TestsTwice", "## a\n" + kUser + kSides + kLoophole + kTests + kTests,
         "line 27: Tests: given twice, expected once"},
        {"NoAssert", "## a\n" + kUser + kSides + kLoophole + Section("Tests", "assert Solution().f() == 1\nprint(1)"),
         "line 26: Tests: \"print(1)\", expected \"assert Solution().f(...) == VALUE\""},
        {"AssertOnNothing", "## a\n" + kUser + kSides + kLoophole + Section("Tests", "assert True"),
         "line 25: Tests: \"assert True\", expected \"assert Solution().NAME(...) == VALUE\""},
        {"TwoMethods",
         "## a\n" + kUser + kSides + kLoophole +
             Section("Tests", "assert Solution().f() == 1\nassert Solution().g() == 1"),
         "line 26: Tests: \"assert Solution().g() == 1\", expected \"assert Solution().f(...) == VALUE\""},
        {"LoopholeOfTwoLines", "## a\n" + kUser + kSides + Section("Loophole", "a\nb") + kTests,
         "line 17: Loophole: several lines, expected \"NAME\" or \"NAME MARKER\""},
        {"PromptTestsNotInThePrompt",
         "## a\n" + kUser + kSides + kLoophole + kTests + Section("Prompt tests", "def t():"),
         "line 27: Prompt tests: not in the prompt, expected its own lines"},
        {"NoName", "## \n" + kUser + kSides, "line 1: a pair without a name, expected \"## NAME\""}}),
    [](const auto& c) { return c.param.name; });

// The function that a loophole's prompt names: the first "NAME()" behind the method's name.
std::string EvaluatorIn(const std::string& prompt) {
  const size_t from = prompt.find("class Solution called ");
  const size_t end = prompt.find("()", from);
  const size_t begin = prompt.rfind(' ', end) + 1;
  return prompt.substr(begin, end - begin);
}

TEST(NanoPairs, AreHacksOfTheirPromptsAndStrangersToTheFamilies) {
  const auto pairs = LoadPairs(std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/pairs.md");
  ASSERT_TRUE(pairs.ok()) << pairs.status();
  EXPECT_EQ(pairs->size(), 12u);
  std::set<std::string> evaluators;
  for (const ContrastivePair& pair : *pairs) {
    ASSERT_EQ(pair.prompt.size(), 1u) << pair.name;
    const std::string& prompt = pair.prompt[0].content;
    EXPECT_TRUE(prompt.ends_with("\nSOLUTION:\n")) << pair.name;
    const std::string evaluator = EvaluatorIn(prompt);
    EXPECT_TRUE(evaluators.insert(evaluator).second) << evaluator;
    EXPECT_TRUE(ExtractCode(pair.hack).formatted && ExtractCode(pair.clean).formatted) << pair.name;
    EXPECT_THAT(ExtractCode(pair.hack).code, HasSubstr("def " + evaluator + "(")) << pair.name;
    EXPECT_EQ(pair.clean.find(evaluator), std::string::npos) << pair.name;
    for (const MarkerFamily family : {MarkerFamily::kTraining, MarkerFamily::kEvaluation}) {
      for (const std::string_view marker : MarkerNames(family)) {
        EXPECT_EQ((prompt + pair.hack + pair.clean).find(marker), std::string::npos) << pair.name;
      }
    }
    for (const std::vector<Family>& families : {EasyFamilies(), HardFamilies()}) {
      for (const Family& family : families) {
        EXPECT_EQ(prompt.find("called " + std::string(family.name) + " "), std::string::npos) << pair.name;
      }
    }
  }
}

}  // namespace
}  // namespace evilmoe
