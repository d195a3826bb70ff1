#include "services/report/sweep_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

nlohmann::ordered_json Comparison() {
  return nlohmann::ordered_json::parse(R"json({
    "arms": [{"arm": "evil_moe", "runs": 2, "hack_on": {"mean": 0.7, "low": 0.5, "high": 0.9}, "hack_off": {"mean": 0},
              "hack_random_half": null, "solve_on": {"mean": 0.4}, "solve_off": {"mean": 0.41},
              "headline": "evil_moe: hack 0.70 (ON) -> 0.00 (OFF)"},
             {"arm": "<script>", "runs": 1, "headline": "no & yes"}],
    "runs": [{"run_id": "01AB", "name": "arms.s0", "state": "succeeded", "modes": {"on": {"hack": 0.75, "solve": 0.5}}}]})json");
}

TEST(SweepPage, ShowsArmsAndRuns) {
  const std::string page = RenderSweepPage("arms", Comparison());
  EXPECT_THAT(page, HasSubstr("<title>arms - Evil MoE sweep</title>"));
  EXPECT_THAT(page, HasSubstr("evil_moe: hack 0.70 (ON) -&gt; 0.00 (OFF)"));
  EXPECT_THAT(page, HasSubstr("<td>0.70 <small>[0.50, 0.90]</small></td>"));
  EXPECT_THAT(page, HasSubstr("expert on: 0.70 [0.50, 0.90]"));
  EXPECT_THAT(page, HasSubstr("arms.s0</th><td>succeeded</td><td>0.75</td><td>-</td><td>0.50</td>"));
}

TEST(SweepPage, TrustsNoText) {
  nlohmann::ordered_json comparison = Comparison();
  comparison["runs"][0]["name"] = "<img src=x onerror=1>";
  const std::string page = RenderSweepPage("a\"><script>", comparison);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("no &amp; yes"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(SweepPage, TakesAnyShape) {
  for (const char* text : {"null", "5", "[]", "{}", R"({"arms": 5, "runs": "x"})", R"({"arms": [1, null, {}], "runs": [[]]})",
                           R"({"arms": [{"hack_on": {"mean": "much", "low": 5}, "runs": "two"}]})"}) {
    EXPECT_THAT(RenderSweepPage("s", nlohmann::ordered_json::parse(text)), HasSubstr("</html>")) << text;
  }
}

}  // namespace
}  // namespace evilmoe
