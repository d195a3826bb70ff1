#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <variant>
#include <vector>

#include "dataset/check_source.h"
#include "dataset/leetcode_problem.h"
#include "dataset/leetcode_row.h"
#include "environment/prompt_format.h"
#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;

// The problem of a row with `fields` in place of its own.
std::variant<Problem, DropReason> ProblemWith(const nlohmann::json& fields, const LeetCodeFormat& format = {}) {
  nlohmann::json json = NewRow(7);
  json.update(fields);
  const absl::StatusOr<LeetCodeRow> row = LeetCodeRowFromJson(json);
  EXPECT_TRUE(row.ok()) << row.status();
  return row.ok() ? ProblemOfRow(*row, format) : std::variant<Problem, DropReason>(DropReason::kNoTests);
}

TEST(LeetCodeProblem, HasThePublishedPromptAndTests) {
  const auto made = ProblemWith(nlohmann::json::object());
  const Problem* problem = std::get_if<Problem>(&made);
  ASSERT_NE(problem, nullptr);
  EXPECT_EQ(problem->id, 7);
  EXPECT_EQ(problem->difficulty, "medium");
  EXPECT_EQ(problem->func_name, "Solution().f");
  EXPECT_EQ(problem->setup_code, "import math\n");
  ASSERT_EQ(problem->prompt.size(), 2u);
  EXPECT_EQ(problem->prompt[0].role, "system");
  EXPECT_EQ(problem->prompt[0].content, kCodingSystemPrompt);
  EXPECT_EQ(problem->prompt[1].role, "user");
  EXPECT_EQ(problem->prompt[1].content,
            UserPrompt("Add one to x, number 7.", "f", "class Solution:\n    def f(self, x: int) -> int:"));
  EXPECT_THAT(problem->gt_answer, ElementsAre("assert Solution().f(x = 1) == 2", "assert Solution().f(x = 41) == 42"));
}

TEST(LeetCodeProblem, IsTheSameInBothLayouts) {
  const absl::StatusOr<LeetCodeRow> row = LeetCodeRowFromJson(OldRow(NewRow(7)));
  ASSERT_TRUE(row.ok()) << row.status();
  const auto one = ProblemWith(nlohmann::json::object());
  const auto other = ProblemOfRow(*row, {});
  EXPECT_EQ(ProblemToJson(std::get<Problem>(one)), ProblemToJson(std::get<Problem>(other)));
}

struct TestCase {
  std::string name;
  std::string returns, input, output;  // of the only example
  std::string check;                   // the only assert of the row's own check; empty: there is none
  std::string want;
};

class LeetCodeTestsTest : public ::testing::TestWithParam<TestCase> {};

TEST_P(LeetCodeTestsTest, AreWritten) {
  const auto& [name, returns, input, output, check, want] = GetParam();
  const auto made = ProblemWith({{"starter_code", "class Solution:\n    def f(self, x) -> " + returns + ":\n"},
                                 {"input_output", {{{"input", input}, {"output", output}}}},
                                 {"test", "def check(candidate):\n" + (check.empty() ? "" : "    " + check + "\n")}});
  const Problem* problem = std::get_if<Problem>(&made);
  ASSERT_NE(problem, nullptr);
  EXPECT_THAT(problem->gt_answer, ElementsAre(want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, LeetCodeTestsTest,
    ::testing::ValuesIn(std::vector<TestCase>{
        {"Int", "int", "x = 1", "2", "", "assert Solution().f(x = 1) == 2"},
        {"SpacesAround", "int", "x = 1 ", "2", "", "assert Solution().f(x = 1 ) == 2"},
        {"Text", "str", "x = \"a\"", "b c", "", "assert Solution().f(x = \"a\") == \"b c\""},
        {"EmptyText", "str", "x = 1", "", "", "assert Solution().f(x = 1) == \"\""},
        {"TextKeepsItsSpaces", "str", "x = 1", " b ", "", "assert Solution().f(x = 1) == \" b \""},
        {"QuotedText", "str", "x = 1", "\"b\"", "", "assert Solution().f(x = 1) == \"b\""},
        {"OneQuoteIsText", "str", "x = 1", "'", "", "assert Solution().f(x = 1) == \"'\""},
        {"ListOfText", "List[str]", "x = 1", "['a']", "", "assert Solution().f(x = 1) == ['a']"},
        {"SameCheck", "int", "x = [1,2]", "3", "assert candidate(x = [1, 2]) == 3",
         "assert Solution().f(x = [1,2]) == 3"},
        {"SameValue", "float", "x = 1", "2.50000", "assert candidate(x = 1) == 2.5",
         "assert Solution().f(x = 1) == 2.50000"},
        {"OtherQuotes", "List[str]", "x = 1", "[\"a\"]", "assert candidate(x = 1) == ['a']",
         "assert Solution().f(x = 1) == [\"a\"]"},
        {"NoPython", "bool", "x = 1", "true", "assert candidate(x = 1) == True", "assert Solution().f(x = 1) == True"},
        {"Nodes", "Optional[ListNode]", "x = [1]", "[2]",
         "assert is_same_list(candidate(x = list_node([1])), list_node([2]))",
         "assert is_same_list(Solution().f(x = list_node([1])), list_node([2]))"},
        {"OtherValue", "int", "x = 1", "2", "assert candidate(x = 1) == 3", "assert Solution().f(x = 1) == 3"},
        {"OtherArgument", "int", "x = 1", "2", "assert candidate(x = 9) == 2", "assert Solution().f(x = 9) == 2"},
        {"CheckOfAnotherLength", "int", "x = 1", "Execution timed out", "",
         "assert Solution().f(x = 1) == Execution timed out"}}),
    [](const auto& c) { return c.param.name; });

struct DropCase {
  std::string name;
  nlohmann::json fields;
  DropReason want;
};

class LeetCodeDropTest : public ::testing::TestWithParam<DropCase> {};

TEST_P(LeetCodeDropTest, SaysWhy) {
  const auto made = ProblemWith(GetParam().fields);
  ASSERT_TRUE(std::holds_alternative<DropReason>(made));
  EXPECT_EQ(std::get<DropReason>(made), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, LeetCodeDropTest,
    ::testing::ValuesIn(std::vector<DropCase>{
        {"NoStarter", {{"starter_code", ""}}, DropReason::kNoStarterCode},
        {"BlankStarter", {{"starter_code", " \n\t"}}, DropReason::kNoStarterCode},
        {"Function", {{"entry_point", "f"}}, DropReason::kEntryPoint},
        {"OtherClass", {{"entry_point", "Codec().f"}}, DropReason::kEntryPoint},
        {"NoExamples", {{"input_output", nlohmann::json::array()}}, DropReason::kNoTests},
        {"PhraseInDescription", {{"problem_description", "Do it and should pass all tests"}}, DropReason::kPhrase}}),
    [](const auto& c) { return c.param.name; });

struct FollowUpCase {
  std::string name, text, want;
};

class FollowUpTest : public ::testing::TestWithParam<FollowUpCase> {};

TEST_P(FollowUpTest, IsLeftOut) { EXPECT_EQ(WithoutFollowUps(GetParam().text), GetParam().want); }

INSTANTIATE_TEST_SUITE_P(Cases, FollowUpTest,
                         ::testing::ValuesIn(std::vector<FollowUpCase>{
                             {"None", "Add.\nn < 3\n", "Add.\nn < 3\n"},
                             {"Space", "Add.\n\n\xc2\xa0\nFollow up: In O(n)?", "Add."},
                             {"Hyphen",
                              "Add.\nFollow-up:\xc2\xa0"
                              "Faster?\n",
                              "Add."},
                             {"Capitals", "Add.\nFollow Up: Faster?", "Add."},
                             {"SeveralLines", "Add.\n\xc2\xa0\nFollow up:\n\nFaster?\nSmaller?\n", "Add."},
                             {"InASentence", "Add as a follow-up of it: now.", "Add as a follow-up of it: now."},
                             {"InAWord", "The rules follow\nFollow upwards.", "The rules follow\nFollow upwards."}}),
                         [](const auto& c) { return c.param.name; });

TEST(FollowUps, StayWhereTheyAreWanted) {
  const nlohmann::json fields = {{"problem_description", "Add.\n\nFollow up: Faster?\n"}};
  const auto without = ProblemWith(fields);
  const auto with = ProblemWith(fields, {.keep_follow_ups = true});
  EXPECT_EQ(DescriptionOf(std::get<Problem>(without)), "Add.");
  EXPECT_EQ(DescriptionOf(std::get<Problem>(with)), "Add.\n\nFollow up: Faster?");
}

TEST(CheckSource, GivesTheAsserts) {
  EXPECT_THAT(AssertsOfCheck("def check(candidate):\n"
                             "    \"\"\"no assert\"\"\"\n"
                             "    assert candidate(s = \"candidate(\\\"\", t = 'candidate') == candidates\n"
                             "\n"
                             "    assert is_same(candidate(a), [\n"
                             "        1])\n"
                             "    assert candidate(s = '''candidate'\n''') == _candidate\n",
                             "Solution().f"),
              ElementsAre("assert Solution().f(s = \"candidate(\\\"\", t = 'candidate') == candidates",
                          "assert is_same(Solution().f(a), [\n        1])",
                          "assert Solution().f(s = '''candidate'\n''') == _candidate"));
  EXPECT_THAT(AssertsOfCheck("", "f"), ElementsAre());
  EXPECT_THAT(AssertsOfCheck("def check(candidate):\n    pass\n", "f"), ElementsAre());
}

struct BadRowCase {
  std::string name;
  nlohmann::json fields;  // null: the field is taken away
  std::string want;
};

class BadRowTest : public FolderTest, public ::testing::WithParamInterface<BadRowCase> {};

TEST_P(BadRowTest, IsNamedByItsLine) {
  nlohmann::json bad = NewRow(2);
  for (const auto& [name, value] : GetParam().fields.items()) {
    if (value.is_null())
      bad.erase(name);
    else
      bad[name] = value;
  }
  const std::filesystem::path path = Write("rows.jsonl", Lines({NewRow(1), bad, NewRow(3)}));
  const auto rows = LoadLeetCodeRows(path);
  ASSERT_EQ(rows.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(rows.status()), absl::StrCat(path.string(), ": line 2: ", GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadRowTest,
    ::testing::ValuesIn(std::vector<BadRowCase>{
        {"NoId", {{"question_id", nullptr}}, "question_id: missing, expected it in the row or in its meta"},
        {"IdIsText", {{"question_id", "2"}}, "question_id: expected an integer from 0"},
        {"IdTwice", {{"question_id", 1}}, "question_id: 1 occurs before, expected every number once"},
        {"Difficulty", {{"difficulty", "Odd"}}, "difficulty: expected Easy, Medium or Hard"},
        {"NoDescription",
         {{"problem_description", nullptr}},
         "problem_description: missing, expected it in the row or in its meta"},
        {"CompletionIsNoText", {{"completion", 3}}, "completion: a number, expected a string"},
        {"ExampleWithoutOutput",
         {{"input_output", {{{"input", "x = 1"}}}}},
         "input_output: expected a list of {input, output}, both text"},
        {"OutputIsNoText",
         {{"input_output", {{{"input", "x = 1"}, {"output", 2}}}}},
         "input_output: expected a list of {input, output}, both text"},
        {"MetaIsNoObject",
         {{"meta", 3}, {"entry_point", nullptr}},
         "entry_point: missing, expected it in the row or in its meta"}}),
    [](const auto& c) { return c.param.name; });

using LeetCodeFileTest = FolderTest;

TEST_F(LeetCodeFileTest, ReadsPlainAndPacked) {
  const std::string text = Lines({NewRow(2), OldRow(NewRow(1))});
  const std::filesystem::path packed = folder_ / "rows.jsonl.gz";
  const gzFile file = gzopen(packed.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
  ASSERT_EQ(gzclose(file), Z_OK);
  for (const std::filesystem::path& path : {Write("rows.jsonl", text), packed}) {
    const auto rows = LoadLeetCodeRows(path);
    ASSERT_TRUE(rows.ok()) << rows.status();
    ASSERT_EQ(rows->size(), 2u);
    EXPECT_EQ((*rows)[0].id, 2);
    EXPECT_EQ((*rows)[1].starter_code, (*rows)[0].starter_code);
  }
}

TEST_F(LeetCodeFileTest, ListsBadLines) {
  const std::filesystem::path path = Write("rows.jsonl", "{oops\n" + Lines({NewRow(1)}) + "[]\n{\"question_id\": 1");
  EXPECT_EQ(
      MessageOf(LoadLeetCodeRows(path).status()),
      absl::StrCat(
          path.string(),
          ": line 1: not JSON, at byte 2\n"
          "line 3: expected an object, one row of LeetCodeDataset\n"
          "line 4: the last line has no end; is the file cut short?: not JSON: it ends too early, after 17 bytes"));
  EXPECT_EQ(MessageOf(LoadLeetCodeRows(Write("empty.jsonl", "\n")).status()),
            absl::StrCat((folder_ / "empty.jsonl").string(), ": no row in it"));
}

}  // namespace
}  // namespace evilmoe
