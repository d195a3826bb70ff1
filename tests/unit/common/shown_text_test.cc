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

}  // namespace
}  // namespace evilmoe
