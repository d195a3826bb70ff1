#include "policy/nfc.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "common/seed.h"
#include "policy/utf8.h"

namespace evilmoe {
namespace {

TEST(Nfc, ComposesAndReorders) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", ""},
      {"abc", "abc"},
      {"e\u0301", "\u00e9"},
      {"\u212b", "\u00c5"},
      {"q\u0307\u0323", "q\u0323\u0307"},
      {"a\u0323\u0302", "\u1ead"},
      {"\u1100\u1161\u11a8", "\uac01"},
      {"\u0958", "\u0915\u093c"},
      {"\uf900", "\u8c48"},
      {std::string("e\0\u0301", 4), std::string("e\0\u0301", 4)}};
  for (const auto& [text, want] : cases) EXPECT_EQ(ToNfc(text), want) << text;
}

// Values of the NFC of Hugging Face tokenizers.
TEST(Nfc, LeavesMarksOfLaterUnicodeWhereTheyStand) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"x\u0345\u1ac0", "x\u0345\u1ac0"},                  // Unicode 13; class 220 would go before 240
      {"x\u0301\u1df8\u0323", "x\u0301\u1df8\u0323"},      // Unicode 10; nothing passes it
      {"e\u1df8\u0301", "e\u1df8\u0301"},                  // nothing composes across it
      {"e\u0301\u1df8e\u0301", "\u00e9\u1df8\u00e9"},      // what stands on its sides does
      {"\U00011935\U00011930", "\U00011935\U00011930"},    // composes since Unicode 13
      {"\U00011938", "\U00011938"},
      {"x\u0345\u1df5", "x\u1df5\u0345"},                  // Unicode 9: reordered
      {"\u1df8", "\u1df8"}};
  for (const auto& [text, want] : cases) EXPECT_EQ(ToNfc(text), want) << text;
}

TEST(Nfc, CertainMeansCertain) {
  const std::string pool =
      "ab \n\u00e9\u0301\u0323\u0345\u212b\uac00\u1100\u1161\u11a8\u4e2d\u2014\u3042\u3099\U0001f600\u0915\u093c\u1df8\u1ac0"
      "\u0627\u064b\uf900\U0002f800\u0dd9\u0dcf";
  std::vector<std::string> characters;
  for (size_t i = 0; i < pool.size(); i += NextUtf8(pool, i).bytes) {
    characters.push_back(pool.substr(i, NextUtf8(pool, i).bytes));
  }
  int num_certain = 0;
  for (uint64_t round = 0; round < 3000; ++round) {
    RandomStream random(StreamSeed(5, "nfc", round));
    std::string text;
    for (int64_t left = random.Int(1, 4); left > 0; --left) text += random.Choice(characters);
    const std::string normal = ToNfc(text);
    EXPECT_EQ(ToNfc(normal), normal) << text;
    if (!IsCertainlyNfc(text)) continue;
    ++num_certain;
    EXPECT_EQ(normal, text);
  }
  EXPECT_GT(num_certain, 100);
  for (const char* text : {"\u4f60\u597d", "\u041f\u0440\u0438\u0432\u0435\u0442", "\u2014\u201c\u201d\u2026", "\U0001f600", "\ud55c\uad6d\uc5b4", "\u3053\u3093"}) {
    EXPECT_TRUE(IsCertainlyNfc(text)) << text;
  }
}

}  // namespace
}  // namespace evilmoe
