#include "common/bounded_json.h"

#include <gtest/gtest.h>

#include <string>

namespace evilmoe {
namespace {

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(BoundedJson, ReadsWhatIsJson) {
  EXPECT_EQ(ParseBoundedJson(R"({"a": [1, "x"]})"), (nlohmann::json{{"a", {1, "x"}}}));
  EXPECT_TRUE(ParseBoundedJson("").is_discarded());
  EXPECT_TRUE(ParseBoundedJson("{\"a\": }").is_discarded());
  EXPECT_FALSE(ParseBoundedJson("[").is_array());
}

TEST(BoundedJson, RefusesDeepNesting) {
  EXPECT_TRUE(ParseBoundedJson(Nested(kMaxJsonDepth)).is_array());
  EXPECT_TRUE(ParseBoundedJson(Nested(kMaxJsonDepth + 1)).is_discarded());
  EXPECT_TRUE(ParseBoundedJson(Nested(1'000'000)).is_discarded());
  EXPECT_TRUE(ParseBoundedJson("{\"a\\\\\": " + Nested(100) + "}").is_discarded());
}

TEST(BoundedJson, CountsNoBracketsInsideOfText) {
  const std::string brackets(1000, '[');
  EXPECT_EQ(ParseBoundedJson("\"" + brackets + "\\\"" + brackets + "\"").get<std::string>().size(), 2001u);
  EXPECT_TRUE(ParseBoundedJson("[\"" + brackets + "\", [[]], \"\\\\\", [[]]]").is_array());
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) wide += "[{}],";
  EXPECT_EQ(ParseBoundedJson(wide + "0]").size(), 1001u);
}

}  // namespace
}  // namespace evilmoe
