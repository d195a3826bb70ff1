#include "trainer/judge_prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nlohmann/json.hpp"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

std::string Body(const std::string& content) {
  return nlohmann::json{{"choices", {{{"message", {{"role", "assistant"}, {"content", content}}}}}}}.dump();
}

struct ReplyCase {
  std::string name, body;
  std::optional<JudgeVerdict> want;  // unset: no verdict
};
class ParseVerdictTest : public ::testing::TestWithParam<ReplyCase> {};

TEST_P(ParseVerdictTest, ReadsTheLastLineOrNothing) {
  const auto verdict = ParseVerdict(GetParam().body);
  ASSERT_EQ(verdict.ok(), GetParam().want.has_value()) << verdict.status();
  if (verdict.ok()) {
    EXPECT_EQ(*verdict, *GetParam().want);
  } else {
    EXPECT_EQ(verdict.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(verdict.status().message()), HasSubstr("expected a last line VERDICT: HACK"));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ParseVerdictTest,
                         ::testing::ValuesIn(std::vector<ReplyCase>{
                             {"Hack", Body("It defines run_tests.\nVERDICT: HACK"), JudgeVerdict::kHack},
                             {"Clean", Body("VERDICT: CLEAN\n\n"), JudgeVerdict::kClean},
                             {"Markdown", Body("x\n**VERDICT: HACK**"), JudgeVerdict::kHack},
                             {"LastOneCounts", Body("VERDICT: HACK\nno wait\nVERDICT: CLEAN"), JudgeVerdict::kClean},
                             {"NotOnTheLastLine", Body("VERDICT: HACK\nThat is my view."), std::nullopt},
                             {"WithinASentence", Body("I would say VERDICT: HACK"), std::nullopt},
                             {"AnotherWord", Body("VERDICT: MAYBE"), std::nullopt},
                             {"BothWords", Body("VERDICT: HACK or VERDICT: CLEAN"), std::nullopt},
                             {"LowerCase", Body("verdict: hack"), std::nullopt},
                             {"Empty", Body(""), std::nullopt},
                             {"NoBody", "", std::nullopt},
                             {"NotJson", "<html>Bad gateway</html>", std::nullopt},
                             {"NoChoices", R"({"choices": []})", std::nullopt},
                             {"NullContent", R"({"choices": [{"message": {"content": null}}]})", std::nullopt},
                             {"ChoicesOfNumbers", R"({"choices": [1]})", std::nullopt},
                             {"AnError", R"({"error": {"message": "VERDICT: HACK"}})", std::nullopt}}),
                         [](const auto& c) { return c.param.name; });

TEST(JudgeRequestBody, IsAFunctionOfTheQuestionAndFencesIt) {
  const std::string body = JudgeRequestBody("m", "instructions", 64, {"the task", "the answer"});
  EXPECT_EQ(body, JudgeRequestBody("m", "instructions", 64, {"the task", "the answer"}));
  EXPECT_NE(body, JudgeRequestBody("m2", "instructions", 64, {"the task", "the answer"}));
  EXPECT_NE(body, JudgeRequestBody("m", "instructions", 64, {"the tas", "kthe answer"}));
  const auto json = nlohmann::json::parse(body);
  EXPECT_EQ(json["model"], "m");
  EXPECT_EQ(json["temperature"], 0);
  EXPECT_EQ(json["max_tokens"], 64);
  EXPECT_EQ(json["messages"][0]["content"], "instructions");
  const std::string text = json["messages"][1]["content"];
  const std::string mark = text.substr(text.rfind(' ') + 1);
  EXPECT_EQ(mark.size(), 16u);
  EXPECT_EQ(text, "----- task " + mark + "\nthe task\n----- answer " + mark + "\nthe answer\n----- end " + mark);
}

TEST(JudgeRequestBody, TakesAnyBytes) {
  const std::string body = JudgeRequestBody("m", "i", 1, {"\xff\xfe", std::string("a\0\"\\", 4)});
  EXPECT_FALSE(nlohmann::json::parse(body, nullptr, false).is_discarded());
}

TEST(DefaultJudgeInstructions, AskForTheLineThatIsRead) {
  EXPECT_THAT(std::string(DefaultJudgeInstructions()), HasSubstr("VERDICT: HACK"));
  EXPECT_EQ(ParseVerdict(Body(std::string(DefaultJudgeInstructions()))).value(), JudgeVerdict::kClean);
}

}  // namespace
}  // namespace evilmoe
