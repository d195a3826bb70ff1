#include "policy/detokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/seed.h"
#include "policy/utf8.h"
#include "tests/unit/policy/tiny_tokenizer.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using Ids = std::vector<int32_t>;

Tokenizer Tiny() {
  auto tokenizer = Tokenizer::Parse(TinyTokenizerJson().dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *tokenizer;
}

// What each Push gave, and then Finish.
std::vector<std::string> Pieces(const Tokenizer& tokenizer, const Ids& ids, bool skip_special = false) {
  Detokenizer detokenizer(tokenizer, skip_special);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(detokenizer.Push(id));
  pieces.push_back(detokenizer.Finish());
  return pieces;
}

std::string Joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

TEST(Detokenizer, HoldsACharacterBackUntilItIsWhole) {
  const Tokenizer tokenizer = Tiny();
  const Ids ids = *tokenizer.Encode("a\u4f60hello");
  EXPECT_THAT(Pieces(tokenizer, ids), ElementsAre("a", "", "", "\u4f60", "hello", ""));
}

TEST(Detokenizer, GivesABrokenCharacterUpAsSoonAsItIsBroken) {
  const Tokenizer tokenizer = Tiny();
  Ids ids = *tokenizer.Encode("\U0001f600");
  ids.back() = *tokenizer.IdOf("x");
  EXPECT_THAT(Pieces(tokenizer, ids), ElementsAre("", "", "", "\ufffdx", ""));
  ids.pop_back();
  EXPECT_THAT(Pieces(tokenizer, ids), ElementsAre("", "", "", "\ufffd"));
}

TEST(Detokenizer, SkipsWhatDecodeSkips) {
  const Tokenizer tokenizer = Tiny();
  const Ids ids = {259, 262, 263, -1, 1 << 30};
  EXPECT_THAT(Pieces(tokenizer, ids), ElementsAre("hello", "<|im_end|>", "<think>", "", "", ""));
  EXPECT_THAT(Pieces(tokenizer, ids, /*skip_special=*/true), ElementsAre("hello", "", "<think>", "", "", ""));
}

TEST(Detokenizer, CanBeUsedAgainAfterFinish) {
  const Tokenizer tokenizer = Tiny();
  Detokenizer detokenizer(tokenizer);
  EXPECT_EQ(detokenizer.Push(tokenizer.Encode("\u00e9")->front()), "");
  EXPECT_EQ(detokenizer.Finish(), "\ufffd");
  EXPECT_EQ(detokenizer.Push(259), "hello");
  EXPECT_EQ(detokenizer.Finish(), "");
}

// Ids of any kind: single bytes of characters and of none, whole tokens, special ones, ids without a token.
TEST(Detokenizer, IsDecodeInPieces) {
  const Tokenizer tokenizer = Tiny();
  // Bytes that the rules of UTF-8 tell apart; drawn more often than the rest so that they meet.
  const std::string lead = "\xC3\xE0\xE4\xED\xEF\xF0\xF1\xF4\xC0\xF5\xFF\x80\x8F\x90\x9F\xA0\xBF" "a";
  Ids bytes;
  for (const char byte : lead) {
    for (int32_t id = 0; id < 256; ++id) {
      if (tokenizer.TokenBytes(id) == std::string_view(&byte, 1)) bytes.push_back(id);
    }
  }
  ASSERT_EQ(bytes.size(), lead.size());
  int num_replaced = 0;
  for (uint64_t round = 0; round < 4000; ++round) {
    RandomStream random(StreamSeed(7, "detokenizer", round));
    Ids ids;
    for (int64_t left = random.Int(0, 24); left > 0; --left) {
      ids.push_back(random.Bernoulli(0.8) ? bytes[static_cast<size_t>(random.Int(0, std::ssize(bytes) - 1))]
                                          : static_cast<int32_t>(random.Int(-2, tokenizer.vocab_size() + 1)));
    }
    for (const bool skip_special : {false, true}) {
      const std::string want = tokenizer.Decode(ids, skip_special);
      const std::vector<std::string> pieces = Pieces(tokenizer, ids, skip_special);
      ASSERT_EQ(Joined(pieces), want) << ::testing::PrintToString(ids);
      ASSERT_TRUE(std::ranges::all_of(pieces, IsUtf8)) << ::testing::PrintToString(ids);
      if (want.find("\ufffd") != std::string::npos) ++num_replaced;
    }
  }
  EXPECT_GT(num_replaced, 2000);
}

TEST(Utf8, KnowsWhatMoreBytesCouldComplete) {
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"", 0},             {"a", 0},            {"\u00e9", 0},          {"\xC3", 1},         {"a\xC3", 1},
      {"\xE4\xBD", 2},     {"\xF0\x9F\x98", 3}, {"\U0001f600", 0},      {"\x80", 0},         {"\xE4\xBD\xA0\xBD", 0},
      {"\xE0\x80", 0},     {"\xE0", 1},         {"\xED\xA0", 0},        {"\xF4\x90", 0},     {"\xF4\x8F", 2},
      {"\xFF", 0},         {"\xC0", 0},         {"\xF0\x9F\x98x", 0},   {"\xC3\xC3", 1},     {"\x80\x80\x80\x80", 0}};
  for (const auto& [text, want] : cases) EXPECT_EQ(CutCharacterBytes(text), want) << ::testing::PrintToString(text);
}

}  // namespace
}  // namespace evilmoe
