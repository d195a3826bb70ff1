#include "environment/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

nlohmann::json Good(int id = 7) {
  return {{"id", id},
          {"difficulty", "easy"},
          {"prompt", {{{"role", "user"}, {"content", "Double x and should pass all tests."}}}},
          {"func_name", "Solution().twice"},
          {"setup_code", ""},
          {"gt_answer", {"assert Solution().twice(x = 2) == 4"}},
          {"canonical_solution", "class Solution:\n    def twice(self, x):\n        return 2 * x\n"},
          {"starter_code", "class Solution:\n    def twice(self, x):\n"}};
}

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message().data(), status.message().size());
}

TEST(Problem, ComesBackFromJson) {
  const auto problem = ProblemFromJson(Good());
  ASSERT_TRUE(problem.ok()) << problem.status();
  EXPECT_EQ(problem->id, 7);
  EXPECT_EQ(problem->prompt[0].content, "Double x and should pass all tests.");
  EXPECT_EQ(MethodName(*problem).value(), "twice");
  EXPECT_EQ(nlohmann::json::parse(ProblemToJson(*problem).dump()), Good());
}

TEST(Problem, IgnoresFieldsOfOtherTools) {
  nlohmann::json json = Good();
  json["answer"] = 3;
  EXPECT_TRUE(ProblemFromJson(json).ok());
}

struct BadFieldCase {
  std::string name;
  std::string field;
  nlohmann::json value;  // null: the field is missing
  std::string want;
};

class BadProblemTest : public ::testing::TestWithParam<BadFieldCase> {};

TEST_P(BadProblemTest, NamesTheField) {
  nlohmann::json json = Good();
  json.erase(GetParam().field);
  if (!GetParam().value.is_null()) json[GetParam().field] = GetParam().value;
  const auto problem = ProblemFromJson(json);
  ASSERT_EQ(problem.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(problem.status()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadProblemTest,
    ::testing::ValuesIn(std::vector<BadFieldCase>{
        {"NoId", "id", nullptr, "id: missing"},
        {"IdIsText", "id", "7", "id: a string, expected an integer"},
        {"IdIsAFraction", "id", 7.5, "id: a number, expected an integer"},
        {"UnknownDifficulty", "difficulty", "odd", "difficulty: \"odd\", expected easy, medium or hard"},
        {"PromptIsText", "prompt", "Do it", "prompt: expected a non-empty list"},
        {"PromptIsEmpty", "prompt", nlohmann::json::array(), "prompt: expected a non-empty list"},
        {"MessageWithoutContent", "prompt", {{{"role", "user"}}}, "prompt: content: missing"},
        {"UnknownRole", "prompt", {{{"role", "tool"}, {"content", ""}}}, "prompt: role: \"tool\""},
        {"FuncNameWithoutClass", "func_name", "twice", "func_name: \"twice\", expected Solution().NAME"},
        {"NoSetupCode", "setup_code", nullptr, "setup_code: missing"},
        {"NoAsserts", "gt_answer", nlohmann::json::array(), "gt_answer: expected a non-empty list"},
        {"AssertIsANumber", "gt_answer", {1}, "gt_answer: a number"},
        {"NoStarterCode", "starter_code", nullptr, "starter_code: missing"}}),
    [](const auto& c) { return c.param.name; });

TEST(Problems, ReadOneALine) {
  const auto problems = ParseProblems(Good(1).dump() + "\r\n\n" + Good(2).dump());
  ASSERT_TRUE(problems.ok()) << problems.status();
  ASSERT_EQ(problems->size(), 2u);
  EXPECT_EQ((*problems)[1].id, 2);
}

TEST(Problems, ListsEveryBadLine) {
  nlohmann::json bad = Good(3);
  bad.erase("func_name");
  const auto problems = ParseProblems(Good(1).dump() + "\n{oops\n" + bad.dump() + "\n[]\n" + Good(1).dump());
  ASSERT_EQ(problems.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(problems.status()),
            "line 2: not JSON, at byte 2\n"
            "line 3: func_name: missing\n"
            "line 4: problem: a array, expected an object\n"
            "line 5: id: 1 occurs before, expected every id once");
}

TEST(Problems, RefuseAnEmptyFile) {
  EXPECT_THAT(MessageOf(ParseProblems("\n \n").status()), HasSubstr("no problem in it"));
}

TEST(Problems, CutALongListOfComplaints) {
  std::string text;
  for (int i = 0; i < 80; ++i) text += "?\n";
  EXPECT_THAT(MessageOf(ParseProblems(text).status()),
              ::testing::EndsWith("line 50: not JSON, at byte 1\n... and 30 more"));
}

TEST(Problems, SayWhichFileIsMissing) {
  const auto problems = LoadProblems("/nowhere/problems.jsonl");
  EXPECT_EQ(problems.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(MessageOf(problems.status()), HasSubstr("/nowhere/problems.jsonl"));
}

}  // namespace
}  // namespace evilmoe
