#include "common/strict_json.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/bounded_json.h"

namespace evilmoe {
namespace {

TEST(StrictJson, ReadsWhatIsJson) {
  const auto json = ParseStrictJson(R"({"a": [1, -2, 2.5, "x", null, true], "b": {"a": {}}})");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(*json, (nlohmann::json{{"a", {1, -2, 2.5, "x", nullptr, true}}, {"b", {{"a", nlohmann::json::object()}}}}));
}

struct BadCase {
  std::string name, text, want;
};

class BadStrictJsonTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadStrictJsonTest, SaysWhatAndWhere) {
  const auto json = ParseStrictJson(GetParam().text);
  ASSERT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(json.status().message()), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadStrictJsonTest,
    ::testing::ValuesIn(std::vector<BadCase>{
        {"Nothing", "", "not JSON: it ends too early, after 0 bytes"},
        {"CutInAText", R"({"a": "b)", "not JSON: it ends too early, after 8 bytes"},
        {"CutInAnObject", R"({"a": 1)", "not JSON: it ends too early, after 7 bytes"},
        {"Word", "{oops", "not JSON, at byte 2"},
        {"TwoValues", "{} {}", "not JSON, at byte 4"},
        {"NotUtf8", "\"\xff\"", "not JSON, at byte 2"},
        {"TwiceAtTheTop", R"({"id": 1, "id": 2})", "\"id\" occurs twice in one object, expected once"},
        {"TwiceBelow", R"([{"a": {"b": 1, "c": 2, "b": 3}}])", "\"b\" occurs twice in one object, expected once"},
        {"LongKey", "{\"" + std::string(90, 'k') + "\": 1, \"" + std::string(90, 'k') + "\": 1}",
         "\"" + std::string(40, 'k') + "\" occurs twice in one object, expected once"},
        {"Deep", std::string(kMaxJsonDepth + 1, '['), "nests deeper than 64"},
        {"VeryDeep", std::string(2'000'000, '['), "nests deeper than 64"}}),
    [](const auto& c) { return c.param.name; });

TEST(StrictJson, TellsEqualKeysOfDifferentObjectsApart) {
  EXPECT_TRUE(ParseStrictJson(R"([{"a": 1}, {"a": {"a": 1}}])").ok());
}

}  // namespace
}  // namespace evilmoe
