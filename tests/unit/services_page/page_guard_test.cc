#include "services/page/page_guard.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_clock.h"

namespace evilmoe {
namespace {

struct OriginCase {
  std::string name;
  std::map<std::string, std::string> headers;
  bool has_tokens = false;
  bool allowed = true;
  std::vector<std::string> path = {"api", "v1", "runs"};
};

class PageOriginTest : public ::testing::TestWithParam<OriginCase> {};

TEST_P(PageOriginTest, Judges) {
  FakeClock clock;
  const auto guard = CallGuard::Create({.role_of = &PageRole}, clock, nullptr, nullptr);
  ASSERT_TRUE(guard.ok());
  const PageGuard page(**guard, {.has_tokens = GetParam().has_tokens, .may_act_openly = true, .hosts = {"page.lab"}});
  PageRequest request{.method = "GET", .path = GetParam().path, .headers = GetParam().headers};
  EXPECT_EQ(page.CheckOrigin(request).ok(), GetParam().allowed);
}

INSTANTIATE_TEST_SUITE_P(Cases, PageOriginTest, ::testing::ValuesIn(std::vector<OriginCase>{
    {"Address", {{"host", "127.0.0.1:80"}}},
    {"AddressOfSix", {{"host", "[::1]:80"}}},
    {"Localhost", {{"host", "LocalHost:1234"}}},
    {"ConfiguredName", {{"host", "page.lab:80"}}},
    {"ReboundName", {{"host", "evil.example:80"}}, false, false},
    {"AddressInAName", {{"host", "127.0.0.1.evil.example"}}, false, false},
    {"NoHost", {}, false, false},
    {"AnyNameWithTokens", {{"host", "evil.example"}}, true, true},
    {"ItsOwnOrigin", {{"host", "localhost:8"}, {"origin", "http://localhost:8"}}},
    {"OtherOrigin", {{"host", "localhost:8"}, {"origin", "http://evil.example"}}, false, false},
    {"OtherPort", {{"host", "localhost:8"}, {"origin", "http://localhost:9"}}, false, false},
    {"NullOrigin", {{"host", "localhost:8"}, {"origin", "null"}}, false, false},
    {"OtherSite", {{"host", "localhost:8"}, {"sec-fetch-site", "cross-site"}}, false, false},
    {"SameHostOtherPort", {{"host", "localhost:8"}, {"sec-fetch-site", "same-site"}}, false, false},
    {"TypedIn", {{"host", "localhost:8"}, {"sec-fetch-site", "none"}}},
    {"LinkToThePage", {{"host", "localhost:8"}, {"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "navigate"}}, false,
     true, {""}},
    {"LinkToData", {{"host", "localhost:8"}, {"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "navigate"}}, false,
     false}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
