#include "services/page/page_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(PageMessage, TakesATargetApart) {
  PageRequest request;
  ASSERT_TRUE(ParseTarget("/api/v1/runs/a%20b?q=x+y%26z&limit=3", request).ok());
  EXPECT_THAT(request.path, ElementsAre("api", "v1", "runs", "a b"));
  EXPECT_EQ(request.Query("q"), "x y&z");
  EXPECT_EQ(request.Query("limit"), "3");
  EXPECT_EQ(request.Query("none"), "");
}

struct BadTarget {
  std::string name, target;
};
class BadTargetTest : public ::testing::TestWithParam<BadTarget> {};

TEST_P(BadTargetTest, IsRefused) {
  PageRequest request;
  EXPECT_EQ(ParseTarget(GetParam().target, request).code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Cases, BadTargetTest, ::testing::ValuesIn(std::vector<BadTarget>{
    {"Empty", ""},
    {"Absolute", "http://other/api"},
    {"Up", "/api/../etc"},
    {"EncodedUp", "/api/%2e%2e/etc"},
    {"EncodedSlash", "/api/a%2Fb"},
    {"Backslash", "/api/a\\b"},
    {"Nul", "/api/a%00b"},
    {"HalfAnEscape", "/api/a%4"},
    {"NoHex", "/api/%zz"},
    {"Twice", "/api?a=1&a=2"},
    {"Long", "/" + std::string(4000, 'a')}}),
    [](const auto& c) { return c.param.name; });

TEST(PageMessage, ReadsNumbersWithinBounds) {
  PageRequest request;
  ASSERT_TRUE(ParseTarget("/?a=5&b=x&c=9999&w=0.5&n=nan", request).ok());
  EXPECT_EQ(IntegerOf(request, "a", 1, 0, 10).value(), 5);
  EXPECT_EQ(IntegerOf(request, "none", 1, 0, 10).value(), 1);
  EXPECT_THAT(std::string(IntegerOf(request, "b", 1, 0, 10).status().message()),
              HasSubstr("b: got \"x\", expected an integer in [0, 10]"));
  EXPECT_FALSE(IntegerOf(request, "c", 1, 0, 10).ok());
  EXPECT_EQ(NumberOf(request, "w", 0, 1).value(), 0.5);
  EXPECT_EQ(NumberOf(request, "none", 0, 1).value(), std::nullopt);
  EXPECT_FALSE(NumberOf(request, "n", 0, 1).ok());
}

TEST(PageMessage, AnErrorIsOneLineWhateverItSays) {
  const PageReply reply = ErrorReply(absl::NotFoundError("a\nb\x01 \xff"));
  EXPECT_EQ(reply.code, 404);
  const nlohmann::json json = nlohmann::json::parse(reply.body);
  EXPECT_EQ(json["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(json["error"]["message"], "a b  \xEF\xBF\xBD");
}

}  // namespace
}  // namespace evilmoe
