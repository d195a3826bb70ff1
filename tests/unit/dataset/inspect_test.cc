#include "dataset/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "environment/prompt_format.h"
#include "tests/unit/dataset/leetcode_rows.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

Problem Make(int64_t id, int num_tests) {
  Problem problem{.id = id,
                  .difficulty = id % 2 == 0 ? "medium" : "hard",
                  .prompt = {{"system", "Be quick."},
                             {"user", UserPrompt(absl::StrCat("Number ", id), "f", "class Solution: ...")}},
                  .func_name = "Solution().f",
                  .setup_code = "import math",
                  .canonical_solution = "class Solution: ...\n",
                  .starter_code = "class Solution: ...\n"};
  for (int i = 0; i < num_tests; ++i)
    problem.gt_answer.push_back(absl::StrCat("assert Solution().f(x = ", i, ") == 0"));
  return problem;
}

class InspectTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    problems_ = {Make(1, 2), Make(2, 12), Make(3, 1), Make(4, 1), Make(5, 1)};
    problems_[2].prompt[1].content = "Nothing of the kind.";
    problems_[3].prompt[0].content = "It runs and should pass all tests.";
    problems_[4].prompt = problems_[0].prompt;
    ASSERT_TRUE(WriteProblems(file_, problems_).ok());
  }
  std::string Show(InspectOptions options) const {
    options.file = file_;
    std::ostringstream out;
    const absl::Status status = InspectProblems(options, out);
    return status.ok() ? out.str() : MessageOf(status);
  }

  std::vector<Problem> problems_;
  const std::filesystem::path file_ = folder_ / "problems.jsonl";
};

TEST_F(InspectTest, Summarizes) {
  EXPECT_EQ(Show({}),
            "5 problems, 2 medium, 3 hard\n"
            "17 asserts: 3.4 a problem, at most 12\n"
            "2 prompts can take no loophole (\"and should pass all tests\" does not occur exactly once): 3, 4\n"
            "1 with the description of an earlier one: 5\n");
}

TEST_F(InspectTest, SummarizesForMachines) {
  const nlohmann::json json = nlohmann::json::parse(Show({.json = true}));
  EXPECT_EQ(json["problems"], 5);
  EXPECT_EQ(json["by_difficulty"], (nlohmann::json{{"easy", 0}, {"medium", 2}, {"hard", 3}}));
  EXPECT_EQ(json["asserts"], 17);
  EXPECT_EQ(json["asserts_per_problem"]["max"], 12);
  EXPECT_EQ(json["without_phrase"], (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(json["same_description"], std::vector<int64_t>{5});
  EXPECT_TRUE(json["prompt_tokens"].is_null());
}

TEST_F(InspectTest, CountsTokens) {
  const auto tokenizer = Tokenizer::Load(std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/model");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const auto summary = Summarize({problems_[0]}, &*tokenizer);
  ASSERT_TRUE(summary.ok()) << summary.status();
  ASSERT_TRUE(summary->prompt_tokens.has_value());
  EXPECT_GT(summary->prompt_tokens->max, 20u);
  EXPECT_EQ(summary->prompt_tokens->mean, static_cast<double>(summary->prompt_tokens->max));
  EXPECT_THAT(Show({.tokenizer = std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/model"}),
              HasSubstr(" tokens a prompt, at most "));
}

TEST_F(InspectTest, ShowsOneProblem) {
  const std::string text = Show({.id = 2});
  EXPECT_THAT(
      text,
      HasSubstr("problem 2, medium, Solution().f, 12 asserts\n--- system\nBe quick.\n--- user\nPROBLEM:\nNumber 2\n"));
  EXPECT_THAT(text,
              HasSubstr("--- setup code\nimport math\n--- canonical solution\nclass Solution: ...\n--- asserts\n"));
  EXPECT_THAT(text, HasSubstr("assert Solution().f(x = 9) == 0\n... and 2 more\n"));
  EXPECT_THAT(Show({.id = 3}), HasSubstr("takes no loophole: "));
  EXPECT_EQ(nlohmann::json::parse(Show({.id = 2, .json = true})), ProblemToJson(problems_[1]));
  EXPECT_THAT(Show({.id = 77}), HasSubstr("problems.jsonl: no problem 77 among its 5"));
}

}  // namespace
}  // namespace evilmoe
