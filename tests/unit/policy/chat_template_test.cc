#include "policy/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

struct ChatCase {
  const char* name;
  std::vector<Message> messages;
  ChatOptions options;
  std::string want;
};

class ChatTemplateTest : public ::testing::TestWithParam<ChatCase> {};

TEST_P(ChatTemplateTest, Renders) {
  const auto text = RenderChat(GetParam().messages, GetParam().options);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(Cases, ChatTemplateTest, ::testing::ValuesIn(std::vector<ChatCase>{
    {"ThinkingOff", {{"system", "s"}, {"user", "u"}}, {},
     "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"},
    {"ThinkingOn", {{"user", "u"}}, {.thinking = true}, "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n"},
    {"NoGenerationPrompt", {{"user", "u"}}, {.add_generation_prompt = false}, "<|im_start|>user\nu<|im_end|>\n"},
    {"PastTurnsLoseTheirThoughts",
     {{"user", "u"}, {"assistant", "<think>\nhm\n</think>\n\na"}, {"user", "v"}}, {.add_generation_prompt = false},
     "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nv<|im_end|>\n"},
    {"TheLastTurnKeepsThem",
     {{"user", "u"}, {"assistant", "<think>\nhm\n</think>\n\na"}}, {.add_generation_prompt = false},
     "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\na<|im_end|>\n"},
    {"TheLastTurnGetsAnEmptyBlock",
     {{"user", "u"}, {"assistant", "a"}}, {.add_generation_prompt = false},
     "<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\na<|im_end|>\n"}}),
    [](const auto& chat) { return std::string(chat.param.name); });

TEST(ChatTemplate, RefusesOtherRolesAndNothing) {
  EXPECT_FALSE(RenderChat({}).ok());
  const std::vector<Message> messages = {{"user", "u"}, {"tool", "t"}};
  EXPECT_THAT(std::string(RenderChat(messages).status().message()), HasSubstr("messages[1].role: \"tool\""));
}

}  // namespace
}  // namespace evilmoe
