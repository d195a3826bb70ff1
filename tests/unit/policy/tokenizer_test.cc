#include "policy/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <thread>

#include "common/seed.h"
#include "policy/bpe.h"
#include "policy/nfc.h"
#include "policy/split_pattern.h"
#include "policy/utf8.h"
#include "tests/unit/policy/tiny_tokenizer.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

Tokenizer Tiny(const Json& json = TinyTokenizerJson()) {
  auto tokenizer = Tokenizer::Parse(json.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *tokenizer;
}

TEST(Tokenizer, MergesByRankAndMatchesAddedTokens) {
  const Tokenizer tokenizer = Tiny();
  EXPECT_THAT(*tokenizer.Encode("hello hello"), ElementsAre(259, 260));
  EXPECT_THAT(*tokenizer.Encode("<|im_start|>hello<|im_end|>"), ElementsAre(261, 259, 262));
  EXPECT_THAT(*tokenizer.Encode(""), ElementsAre());
  EXPECT_THAT(*tokenizer.Encode("lll"), ElementsAre(257, *tokenizer.IdOf("l")));
  EXPECT_EQ(tokenizer.vocab_size(), 265);
}

TEST(Tokenizer, BothLayoutsOfMergesAreOne) {
  Json json = TinyTokenizerJson();
  for (Json& merge : json["model"]["merges"]) {
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  }
  EXPECT_THAT(*Tiny(json).Encode("hello hello"), ElementsAre(259, 260));
}

TEST(Tokenizer, NormalizesOnlyWhenAsked) {
  Json json = TinyTokenizerJson();
  EXPECT_EQ(*Tiny(json).Encode("e\u0301"), *Tiny(json).Encode("\u00e9"));
  json["normalizer"] = nullptr;
  EXPECT_NE(*Tiny(json).Encode("e\u0301"), *Tiny(json).Encode("\u00e9"));
}

TEST(Tokenizer, TakesAWholeTokenWithIgnoreMerges) {
  Json json = TinyTokenizerJson();
  json["model"]["merges"] = Json::array();
  EXPECT_EQ(Tiny(json).Encode("hello")->size(), 5u);
  json["model"]["ignore_merges"] = true;
  EXPECT_THAT(*Tiny(json).Encode("hello"), ElementsAre(259));
}

TEST(Tokenizer, DecodesWhatItEncodes) {
  const Tokenizer tokenizer = Tiny();
  for (const std::string& text : {std::string("hello  world\n\t x"), std::string("caf\u00e9 \u4f60\u597d \U0001f600"),
                                 std::string("a\0b", 3), std::string("<think>\n\n</think>\n\nhi<|im_end|>")}) {
    const auto ids = tokenizer.Encode(text);
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(tokenizer.Decode(*ids), text);
  }
  EXPECT_EQ(tokenizer.Decode(Ids{259, 262, 263}, /*skip_special=*/true), "hello<think>");
  EXPECT_EQ(tokenizer.Decode(Ids{-1, 259, 265, 1 << 30}), "hello");
}

TEST(Tokenizer, BrokenCharactersBecomeReplacements) {
  const Tokenizer tokenizer = Tiny();
  Ids ids = *tokenizer.Encode("\u4f60");
  ids.pop_back();
  EXPECT_EQ(tokenizer.Decode(ids), "\ufffd");
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto ids = Tiny().Encode("ab\xFF");
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Tokenizer, TakesLongTextInItsStride) {
  const Tokenizer tokenizer = Tiny();
  for (const char* unit : {" ", "\n ", "l", "hello", "-", "\u00e9", "e\u0301"}) {
    std::string text;
    while (text.size() < 200'000) text += unit;
    const auto ids = tokenizer.Encode(text);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(tokenizer.Decode(*ids), ToNfc(text));
  }
}

TEST(Tokenizer, IsOneForManyThreads) {
  const Tokenizer tokenizer = Tiny();
  const Ids want = *tokenizer.Encode("hello caf\u00e9 <|im_end|> hello");
  std::array<Ids, 4> got;
  {
    std::vector<std::jthread> threads;
    for (Ids& ids : got) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) ids = *tokenizer.Encode("hello caf\u00e9 <|im_end|> hello");
      });
    }
  }
  for (const Ids& ids : got) EXPECT_EQ(ids, want);
}

std::vector<std::string> Split(const std::string& regex, const std::string& text) {
  const auto pattern = SplitPattern::Compile(regex);
  EXPECT_TRUE(pattern.ok()) << pattern.status();
  std::vector<std::string_view> pieces;
  EXPECT_TRUE(pattern->Split(text, pieces).ok());
  return {pieces.begin(), pieces.end()};
}

// U+105C0 and U+116D0 are a letter and a number since Unicode 16.
TEST(SplitPattern, KnowsTheLettersAndNumbersOfTheReference) {
  EXPECT_THAT(Split(R"(\p{L}+|\p{N}+)", "a\U000105c0b1\U000116d0"), ElementsAre("a\U000105c0b", "1\U000116d0"));
  EXPECT_THAT(Split(R"([^\p{L}\p{N}]+)", "\U000105c0--\U000116d0"), ElementsAre("\U000105c0", "--", "\U000116d0"));
  EXPECT_THAT(Split(R"(\[\p{L}\]|\p{Lu})", "[a]Bc"), ElementsAre("[a]", "B", "c"));
}

// The short and the long path of the merge agree: the same text in one piece of either kind.
TEST(Bpe, BothPathsAgree) {
  BpeMerges merges;
  merges.Add(0, 1, 2, /*rank=*/1);
  merges.Add(1, 1, 3, /*rank=*/0);
  merges.Add(2, 2, 4, /*rank=*/2);
  merges.Add(3, 0, 5, /*rank=*/3);
  uint32_t state = 1;
  for (int round = 0; round < 200; ++round) {
    Ids piece;
    for (int i = 0; i < 31; ++i) piece.push_back((state = state * 1664525u + 1013904223u) >> 31);
    Ids short_path;
    merges.Apply(piece, short_path);
    // 9 never merges: it makes the piece long and leaves the rest alone.
    Ids padded = piece;
    padded.insert(padded.end(), 40, 9);
    Ids long_path;
    merges.Apply(padded, long_path);
    ASSERT_EQ(long_path.size(), short_path.size() + 40);
    EXPECT_TRUE(std::equal(short_path.begin(), short_path.end(), long_path.begin()));
  }
}

struct RefusedCase {
  const char* name;
  std::function<void(Json&)> change;
  const char* message;
};

class RefusedTokenizerTest : public ::testing::TestWithParam<RefusedCase> {};

TEST_P(RefusedTokenizerTest, NamesWhatIsWrong) {
  Json json = TinyTokenizerJson();
  GetParam().change(json);
  const auto tokenizer = Tokenizer::Parse(json.dump());
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Cases, RefusedTokenizerTest, ::testing::ValuesIn(std::vector<RefusedCase>{
    {"NotAnObject", [](Json& j) { j = 3; }, "not a JSON object"},
    {"Model", [](Json& j) { j["model"]["type"] = "Unigram"; }, "model.type: \"Unigram\""},
    {"Dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, "model.dropout: 0.1"},
    {"Suffix", [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, "model.end_of_word_suffix"},
    {"ByteFallback", [](Json& j) { j["model"]["byte_fallback"] = true; }, "model.byte_fallback"},
    {"NoVocabulary", [](Json& j) { j["model"].erase("vocab"); }, "model.vocab: null"},
    {"ByteMissing", [](Json& j) { j["model"]["vocab"].erase("Q"); }, "this one is missing"},
    {"IdNegative", [](Json& j) { j["model"]["vocab"]["he"] = -1; }, "model.vocab.\"he\": -1"},
    {"IdHuge", [](Json& j) { j["model"]["vocab"]["he"] = 4000000000u; }, "model.vocab.\"he\": 4000000000"},
    {"IdTwice", [](Json& j) { j["model"]["vocab"]["he"] = 257; }, "one id for one token"},
    {"MergesMissing", [](Json& j) { j["model"].erase("merges"); }, "model.merges: null"},
    {"MergeUnknown", [](Json& j) { j["model"]["merges"][1] = {"z", "z"}; }, "model.merges[1]: [\"z\",\"z\"]"},
    {"MergeShape", [](Json& j) { j["model"]["merges"][0] = "a b c"; }, "model.merges[0]: \"a b c\""},
    {"MergeType", [](Json& j) { j["model"]["merges"][0] = {1, 2}; }, "model.merges[0]: [1,2]"},
    {"AddedTokenEmpty", [](Json& j) { j["added_tokens"][0]["content"] = ""; }, "added_tokens[0].content"},
    {"AddedTokenIdTaken", [](Json& j) { j["added_tokens"][0]["id"] = 256; }, "one id for one token"},
    {"AddedTokenStrips", [](Json& j) { j["added_tokens"][1]["lstrip"] = true; }, "added_tokens[1].lstrip"},
    {"Normalizer", [](Json& j) { j["normalizer"]["type"] = "NFKC"; }, "normalizer: {\"type\":\"NFKC\"}"},
    {"NoPreTokenizer", [](Json& j) { j["pre_tokenizer"] = nullptr; }, "pre_tokenizer: null"},
    {"PrefixSpace",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }, "add_prefix_space: true"},
    {"SplitBehavior",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }, "behavior \"Isolated\""},
    {"SplitText",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"String", "x"}}; }, "pre_tokenizer.pattern"},
    {"SplitBroken", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a"; },
     "split pattern: missing closing parenthesis at offset 2"},
    {"SplitNestedClass",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "[a[bc]]+"; }, "[ inside a class"},
    {"SplitClassIntersection",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "[a-z&&[^b]]"; }, "&& inside a class"},
    {"SplitClassBegin",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "[^]a]"; }, "begins with ]"},
    {"SplitHexDigit",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\h+"; }, "\\h is not supported"},
    {"TwoPatterns", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["use_regex"] = true; }, "two split patterns"},
    {"PostProcessor", [](Json& j) { j["post_processor"]["type"] = "TemplateProcessing"; }, "post_processor"},
    {"Decoder", [](Json& j) { j["decoder"] = nullptr; }, "decoder: null"},
    {"Truncation", [](Json& j) { j["truncation"] = {{"max_length", 8}}; }, "truncation"}}),
    [](const auto& refused) { return std::string(refused.param.name); });

// tokenizer.json with bytes changed at random: an error, or a tokenizer that works.
TEST(Tokenizer, SurvivesDamage) {
  const std::string good = TinyTokenizerJson().dump();
  int num_refused = 0;
  for (uint64_t round = 0; round < 500; ++round) {
    RandomStream random(StreamSeed(1, "damage", round));
    std::string bytes = good;
    for (int64_t change = random.Int(1, 3); change > 0; --change) {
      bytes[static_cast<size_t>(random.Int(0, static_cast<int64_t>(bytes.size()) - 1))] =
          static_cast<char>(random.Int(0x20, 0x7E));
    }
    const auto tokenizer = Tokenizer::Parse(bytes);
    if (!tokenizer.ok()) {
      ++num_refused;
      continue;
    }
    const auto ids = tokenizer->Encode("hello caf\u00e9 <|im_end|> 12");
    EXPECT_TRUE(ids.ok()) << ids.status();
  }
  EXPECT_GT(num_refused, 100);
}

struct ReplaceCase {
  std::string bytes;
  std::string want;
};

TEST(Utf8, ReplacesMaximalSubparts) {
  const std::vector<ReplaceCase> cases = {
      {"ok \u00e9", "ok \u00e9"},          {"\x80", "\ufffd"},
      {"\xC3", "\ufffd"},                  {"\xC3" "A", "\ufffd" "A"},
      {"\xE4\xBD", "\ufffd"},              {"\xE4\xBD" "A", "\ufffd" "A"},
      {"\xE0\x80\x80", "\ufffd\ufffd\ufffd"}, {"\xED\xA0\x80", "\ufffd\ufffd\ufffd"},
      {"\xF0\x9F\x98", "\ufffd"},          {"\xF4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
      {"\xC0\xAF", "\ufffd\ufffd"},        {"\xFF\xFE", "\ufffd\ufffd"}};
  for (const ReplaceCase& item : cases) EXPECT_EQ(ReplaceInvalidUtf8(item.bytes), item.want);
}

}  // namespace
}  // namespace evilmoe
