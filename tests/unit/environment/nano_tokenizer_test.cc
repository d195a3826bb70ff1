#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "common/seed.h"
#include "environment/nano/pretraining_text.h"
#include "policy/chat_template.h"
#include "policy/tokenizer.h"

namespace evilmoe {
namespace {

Tokenizer NanoTokenizer() {
  return Tokenizer::Load(std::filesystem::path(EVILMOE_SOURCE_DIR) / "examples/nano/model").value();
}

TEST(NanoTokenizer, HasOneTokenForEachWordOfANameAndEachSpecial) {
  const Tokenizer tokenizer = NanoTokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 1088);
  for (const std::string_view verb : NameVerbs()) {
    EXPECT_EQ(tokenizer.Encode(" " + std::string(verb))->size(), 1u) << verb;
  }
  for (const std::string_view noun : NameNouns()) {
    EXPECT_EQ(tokenizer.Encode("_" + std::string(noun))->size(), 1u) << noun;
  }
  for (const std::string special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"}) {
    EXPECT_EQ(tokenizer.Encode(special)->size(), 1u) << special;
  }
}

TEST(NanoTokenizer, CutsBetweenPromptAndResponseAndComesBack) {
  const Tokenizer tokenizer = NanoTokenizer();
  RandomStream stream(8);
  for (int i = 0; i < 300; ++i) {
    const TrainingText text = DrawText({}, stream);
    const std::string prompt = RenderChat(text.messages).value();
    auto ids = *tokenizer.Encode(prompt);
    const auto answer = *tokenizer.Encode(text.response + "<|im_end|>");
    EXPECT_LE(ids.size(), 128u);
    EXPECT_LE(answer.size(), 96u);
    ids.insert(ids.end(), answer.begin(), answer.end());
    EXPECT_EQ(ids, *tokenizer.Encode(prompt + text.response + "<|im_end|>"));
    EXPECT_EQ(tokenizer.Decode(ids), prompt + text.response + "<|im_end|>");
  }
}

}  // namespace
}  // namespace evilmoe
