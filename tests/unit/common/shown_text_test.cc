#include "common/shown_text.h"

#include <gtest/gtest.h>

#include "common/strict_json.h"

namespace evilmoe {
namespace {

TEST(ShownText, IsQuotedOnOneLine) {
  EXPECT_EQ(ShownText("", 10), "\"\"");
  EXPECT_EQ(ShownText("a\n\"b\"", 10), R"("a\n\"b\"")");
  EXPECT_EQ(ShownText("0123456789", 10), "\"0123456789\"");
  EXPECT_EQ(ShownText("0123456789x", 10), "\"0123456789\"...");
}

TEST(ShownText, IsUtf8WhateverItIsCutFrom) {
  EXPECT_EQ(ShownText("\xd0\x9d\xd0\xb5", 3), "\"\xd0\x9d\xef\xbf\xbd\"...");
  EXPECT_EQ(ShownText("caf\xe9", 10), "\"caf\xef\xbf\xbd\"");
  const std::string text = "\xe4\xbd\xa0\xe5\xa5\xbd\xff\n";
  for (size_t bytes = 0; bytes <= text.size(); ++bytes) {
    std::string shown = ShownText(text, bytes);
    if (shown.ends_with("...")) shown.resize(shown.size() - 3);
    EXPECT_TRUE(ParseStrictJson(shown).ok()) << bytes;  // takes no bytes that are not UTF-8
  }
}

TEST(ShownLines, WritesOutWhatATerminalWouldActOn) {
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain\n\ttext \xc3\xa9", "plain\n\ttext \xc3\xa9"},
      {"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"},
      {std::string("a\0b", 3), "a\\x00b"},
      {"over\rwritten\x7f\b", "over\\x0dwritten\\x7f\\x08"},
      {"\xc2\x9b" "31m", "\\x9b31m"},                      // C1: the same as ESC [
      {"\xe2\x80\xae" "evil", "\\u202eevil"},             // right to left from here on
      {"\xe2\x81\xa6x\xe2\x81\xa9", "\\u2066x\\u2069"},  // an isolate
      {"caf\xe9", "caf\xef\xbf\xbd"},
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},            // a slash, written too long
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // half of a surrogate pair
      {"cut \xe4\xbd", "cut \xef\xbf\xbd\xef\xbf\xbd"},
      {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}};
  for (const auto& [text, shown] : cases) EXPECT_EQ(ShownLines(text), shown) << ShownText(text, 100);
}

TEST(ShownLine, IsOne) { EXPECT_EQ(ShownLine("a\n\tb\x1b"), "a  b\\x1b"); }

}  // namespace
}  // namespace evilmoe
