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
         "line 7: section \"Prompt\", expected System, User, Assistant, Hack or Clean"},
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
