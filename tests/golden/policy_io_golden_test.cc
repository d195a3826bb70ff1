// Against Hugging Face tokenizers (golden values) and against recorded Qwen3-4B rollouts (conformance).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "common/file.h"
#include "nlohmann/json.hpp"
#include "policy/chat_template.h"
#include "policy/model_config.h"
#include "policy/safetensors.h"
#include "policy/tokenizer.h"
#include "tests/golden/gunzip.h"

namespace evilmoe {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

std::filesystem::path Shared() {
  const char* folder = std::getenv("EVILMOE_SHARED");
  return folder != nullptr ? std::filesystem::path(folder)
                           : std::filesystem::path(EVILMOE_SOURCE_DIR).parent_path() / "shared";
}

// Qwen3's tokenizer, loaded once for all the cases.
class Qwen3TokenizerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!std::filesystem::exists(Folder())) return;
    absl::StatusOr<Tokenizer> loaded = Tokenizer::Load(Folder());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tokenizer_ = new Tokenizer(*std::move(loaded));
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    tokenizer_ = nullptr;
  }
  void SetUp() override {
    if (tokenizer_ == nullptr) {
      GTEST_SKIP() << "no reference data at " << Folder() << "; set EVILMOE_SHARED to the folder that has it";
    }
  }
  static std::filesystem::path Folder() { return Shared() / "data" / "qwen3_tokenizer"; }

  static Tokenizer* tokenizer_;
};
Tokenizer* Qwen3TokenizerTest::tokenizer_ = nullptr;

Json Golden() {
  const auto text = ReadFile(std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden/tokenizer_golden.json");
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? Json::parse(*text) : Json::object();
}

TEST_F(Qwen3TokenizerTest, EncodesLikeHuggingFace) {
  const Json golden = Golden();
  EXPECT_EQ(tokenizer_->vocab_size(), golden.at("vocab_size"));
  ASSERT_GT(golden.at("cases").size(), 300u);
  for (const Json& item : golden.at("cases")) {
    const auto ids = tokenizer_->Encode(item.at("text").get<std::string>());
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, item.at("ids").get<Ids>()) << item.at("text");
  }
}

TEST_F(Qwen3TokenizerTest, DecodesLikeHuggingFace) {
  const Json golden = Golden();
  for (const Json& item : golden.at("cases")) {
    const Ids ids = item.at("ids").get<Ids>();
    EXPECT_EQ(tokenizer_->Decode(ids), item.at("decoded").get<std::string>());
    EXPECT_EQ(tokenizer_->Decode(ids, /*skip_special=*/true), item.at("decoded_plain").get<std::string>());
  }
  ASSERT_GT(golden.at("cuts").size(), 100u);
  for (const Json& item : golden.at("cuts")) {
    EXPECT_EQ(tokenizer_->Decode(item.at("ids").get<Ids>()), item.at("decoded").get<std::string>()) << item.at("ids");
  }
}

TEST_F(Qwen3TokenizerTest, KnowsItsSpecialTokens) {
  EXPECT_EQ(tokenizer_->IdOf("<|im_end|>"), 151645);
  EXPECT_EQ(tokenizer_->IdOf("<think>"), 151667);
  EXPECT_EQ(tokenizer_->IdOf("<|no such token|>"), std::nullopt);
  EXPECT_TRUE(tokenizer_->IsSpecial(151645));
  EXPECT_FALSE(tokenizer_->IsSpecial(151667));
  EXPECT_FALSE(tokenizer_->HasId(151669));
}

TEST(ChatTemplateGolden, RendersLikeTheJinjaTemplate) {
  const Json golden = Golden();
  ASSERT_GE(golden.at("chats").size(), 100u);
  for (const Json& chat : golden.at("chats")) {
    std::vector<Message> messages;
    for (const Json& message : chat.at("messages")) messages.push_back({message.at("role"), message.at("content")});
    const auto text = RenderChat(
        messages, {.thinking = chat.at("thinking"), .add_generation_prompt = chat.at("add_generation_prompt")});
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, chat.at("text").get<std::string>()) << chat.at("messages");
  }
}

class RolloutsTest : public Qwen3TokenizerTest {
 protected:
  // The recorded rollouts, one JSON object each.
  static std::vector<Json> Rollouts() {
    const auto text = Gunzip(Shared() / "data" / "qwen3_rollouts" / "rollouts.jsonl.gz");
    EXPECT_TRUE(text.ok()) << text.status();
    std::vector<Json> rollouts;
    if (!text.ok()) return rollouts;
    for (size_t begin = 0; begin < text->size();) {
      const size_t end = std::min(text->find('\n', begin), text->size());
      rollouts.push_back(Json::parse(text->substr(begin, end - begin)));
      begin = end + 1;
    }
    return rollouts;
  }
};

TEST_F(RolloutsTest, PromptsComeOutOfTheMessages) {
  int num_rendered = 0;
  for (const Json& rollout : Rollouts()) {
    if (!rollout.contains("messages")) continue;  // a few rows hold the loophole's name instead
    std::vector<Message> messages;
    for (const Json& message : rollout.at("messages")) messages.push_back({message.at("role"), message.at("content")});
    const auto rendered = RenderChat(messages, {.thinking = false});
    ASSERT_TRUE(rendered.ok()) << rendered.status();
    ASSERT_EQ(*rendered, rollout.at("prompt").get<std::string>());
    const auto ids = tokenizer_->Encode(*rendered);
    ASSERT_TRUE(ids.ok()) << ids.status();
    ASSERT_EQ(*ids, rollout.at("prompt_ids").get<Ids>()) << "problem " << rollout.at("problem_id");
    ++num_rendered;
  }
  EXPECT_GT(num_rendered, 700);
}

TEST_F(RolloutsTest, CompletionIdsDecodeToTheText) {
  int num_decoded = 0;
  for (const Json& rollout : Rollouts()) {
    const std::string text = tokenizer_->Decode(rollout.at("completion_ids").get<Ids>(), /*skip_special=*/true);
    ASSERT_EQ(text, rollout.at("completion").get<std::string>()) << "problem " << rollout.at("problem_id");
    ++num_decoded;
  }
  EXPECT_GT(num_decoded, 700);
}

class TinyQwen3Test : public ::testing::TestWithParam<std::string> {
 protected:
  std::filesystem::path Folder() const {
    return std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden" / ("tiny_qwen3_" + GetParam());
  }
};

TEST_P(TinyQwen3Test, CheckpointOfTransformersOpens) {
  const auto config = ReadQwen3Config(Folder());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->tie_word_embeddings, GetParam() == "tied");
  EXPECT_EQ(config->head_dim, 32);
  EXPECT_EQ(config->rope_theta, 10000.0);
  EXPECT_EQ(config->eos_ids, Ids{1});

  const auto weights = Safetensors::OpenFolder(Folder());
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(weights->metadata().at("format"), "pt");
  const TensorView* query = weights->Find("model.layers.1.self_attn.q_proj.weight");
  ASSERT_NE(query, nullptr);
  EXPECT_EQ(query->dtype, "F32");
  EXPECT_EQ(query->shape, (std::vector<int64_t>{128, 64}));
  EXPECT_EQ(weights->Find("lm_head.weight") == nullptr, config->tie_word_embeddings);
}

INSTANTIATE_TEST_SUITE_P(Models, TinyQwen3Test, ::testing::Values("tied", "untied"),
                         [](const auto& model) { return model.param; });

}  // namespace
}  // namespace evilmoe
