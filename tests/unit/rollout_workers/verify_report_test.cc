#include "rollout_workers/verify_report.h"

#include <gtest/gtest.h>

#include <limits>
#include <sstream>

namespace evilmoe {
namespace {

std::string Printed(const Finding& finding) {
  std::ostringstream out;
  PrintFinding(finding, out);
  return out.str();
}

struct FindingCase {
  const char* name;
  Finding finding;
  bool want;
};
class FindingTest : public ::testing::TestWithParam<FindingCase> {};

TEST_P(FindingTest, HoldsWhereItsFigureIsWithinTheLimit) {
  EXPECT_EQ(GetParam().finding.ok(), GetParam().want);
  EXPECT_EQ(Printed(GetParam().finding).starts_with(GetParam().want ? "ok " : "FAIL "), true);
  EXPECT_EQ(FindingsJson({GetParam().finding})["ok"], GetParam().want);
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
INSTANTIATE_TEST_SUITE_P(
    Cases, FindingTest,
    ::testing::Values(FindingCase{"AtTheLimit", {.figure = 0.5, .limit = 0.5}, true},
                      FindingCase{"AboveIt", {.figure = 0.6, .limit = 0.5}, false},
                      FindingCase{"NoNumber", {.figure = kNaN, .limit = 0.5}, false},
                      FindingCase{"AtLeastAboveIt", {.figure = 0.6, .limit = 0.5, .at_least = true}, true},
                      FindingCase{"AtLeastAtIt", {.figure = 0.5, .limit = 0.5, .at_least = true}, false},
                      FindingCase{"AtLeastNoNumber", {.figure = kNaN, .at_least = true}, false},
                      FindingCase{"WithinAndAProblem", {.problem = "vacuous"}, false}),
    [](const auto& c) { return c.param.name; });

TEST(PrintFinding, SaysWhatWasCheckedTheFigureAndTheLimit) {
  EXPECT_EQ(Printed({.name = "dL/dw", .checked = "against a difference", .figure = 1.5e-6, .limit = 1e-4}),
            "ok    dL/dw                             against a difference: 1.5e-06 (limit 0.0001)\n");
  EXPECT_EQ(Printed({.name = "pin", .checked = "change", .figure = -1, .at_least = true}),
            "FAIL  pin                               change: -1 (limit > 0)\n");
  EXPECT_EQ(Printed(Unchecked("grader", absl::UnavailableError("no sandbox"))),
            "FAIL  grader                            no sandbox\n");
}

TEST(FindingsJson, HoldsWhereAllChecksDo) {
  const Finding good{.name = "a", .checked = "x", .figure = 1, .limit = 2}, bad{.name = "b", .figure = kNaN};
  EXPECT_EQ(FindingsJson({good, good})["ok"], true);
  const nlohmann::ordered_json both = FindingsJson({good, bad});
  EXPECT_EQ(both["ok"], false);
  EXPECT_EQ(both["checks"][0]["figure"], 1);
  EXPECT_EQ(both["checks"][0]["relation"], "at most");
  EXPECT_TRUE(both["checks"][1]["figure"].is_null());
}

}  // namespace
}  // namespace evilmoe
