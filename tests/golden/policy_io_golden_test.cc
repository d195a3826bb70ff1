// Against Hugging Face tokenizers (golden values) and against recorded Qwen3-4B rollouts (conformance).

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "common/file.h"
#include "common/seed.h"
#include "nlohmann/json.hpp"
#include "policy/chat_template.h"
#include "policy/detokenizer.h"
#include "policy/model_config.h"
#include "policy/safetensors.h"
#include "policy/tokenizer.h"
#include "policy/utf8.h"
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

// The lines of a .jsonl.gz, one JSON object each.
std::vector<Json> Lines(const std::filesystem::path& file) {
  const auto text = Gunzip(file);
  EXPECT_TRUE(text.ok()) << text.status();
  std::vector<Json> lines;
  if (!text.ok()) return lines;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    lines.push_back(Json::parse(text->substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

// The same text as Decode, and never half a character on the way.
std::string Streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  Detokenizer detokenizer(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) {
    const std::string piece = detokenizer.Push(id);
    EXPECT_TRUE(IsUtf8(piece));
    text += piece;
  }
  return text + detokenizer.Finish();
}

// 10,000 texts of mixed scripts, emoji, combining marks, control characters, white space, code and added tokens.
// EVILMOE_TOKENIZER_CORPUS names another file of the kind (scripts/golden/make_tokenizer_golden.py makes more).
TEST_F(Qwen3TokenizerTest, CorpusIsAsHuggingFaceHasIt) {
  const char* other = std::getenv("EVILMOE_TOKENIZER_CORPUS");
  const std::filesystem::path own = std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden/tokenizer_corpus.jsonl.gz";
  const std::vector<Json> corpus = Lines(other != nullptr ? other : own);
  ASSERT_GE(corpus.size(), 10'000u);
  int num_changed = 0;
  int num_different = 0;
  for (const Json& item : corpus) {
    const auto text = item.at("text").get<std::string>();
    const auto want = item.at("ids").get<Ids>();
    const auto ids = tokenizer_->Encode(text);
    ASSERT_TRUE(ids.ok()) << ids.status();
    const std::string decoded = item.value("decoded", text);
    if (*ids != want || tokenizer_->Decode(want) != decoded) {
      ADD_FAILURE() << item << "\nids " << Json(*ids) << "\ndecoded " << Json(tokenizer_->Decode(want));
      if (++num_different == 20) break;
    }
    EXPECT_EQ(Streamed(*tokenizer_, want, /*skip_special=*/false), decoded);
    if (decoded != text) ++num_changed;
  }
  EXPECT_GT(num_changed, 500);
}

// Ids in any order, most of which break characters off.
TEST_F(Qwen3TokenizerTest, StreamsWhatItDecodes) {
  Ids broken;  // tokens that are not whole characters
  for (int32_t id = 0; id < tokenizer_->vocab_size(); ++id) {
    if (!IsUtf8(tokenizer_->TokenBytes(id))) broken.push_back(id);
  }
  ASSERT_GT(broken.size(), 1000u);
  for (uint64_t round = 0; round < 3000; ++round) {
    RandomStream random(StreamSeed(3, "stream", round));
    Ids ids(static_cast<size_t>(random.Int(1, 30)));
    for (int32_t& id : ids) {
      id = random.Bernoulli(0.7) ? random.Choice(broken) : static_cast<int32_t>(random.Int(0, tokenizer_->vocab_size()));
    }
    const bool skip_special = random.Bernoulli(0.5);
    ASSERT_EQ(Streamed(*tokenizer_, ids, skip_special), tokenizer_->Decode(ids, skip_special)) << Json(ids);
  }
}

class RolloutsTest : public Qwen3TokenizerTest {
 protected:
  static std::vector<Json> Rollouts() { return Lines(Shared() / "data" / "qwen3_rollouts" / "rollouts.jsonl.gz"); }
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

// A model may write a text in other tokens than the tokenizer would. Most completions are canonical, though: then the
// text gives the same ids back.
TEST_F(RolloutsTest, CompletionIdsDecodeToTheText) {
  int num_decoded = 0;
  int num_canonical = 0;
  for (const Json& rollout : Rollouts()) {
    const Ids ids = rollout.at("completion_ids").get<Ids>();
    const std::string text = tokenizer_->Decode(ids, /*skip_special=*/true);
    ASSERT_EQ(text, rollout.at("completion").get<std::string>()) << "problem " << rollout.at("problem_id");
    ASSERT_EQ(Streamed(*tokenizer_, ids, /*skip_special=*/true), text) << "problem " << rollout.at("problem_id");
    ++num_decoded;
    const auto again = tokenizer_->Encode(tokenizer_->Decode(ids));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(tokenizer_->Decode(*again), tokenizer_->Decode(ids));
    if (*again == ids) ++num_canonical;
  }
  RecordProperty("canonical", num_canonical);
  std::cout << num_canonical << " of " << num_decoded << " completions are canonical\n";
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
