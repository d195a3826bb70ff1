#include "services/ctl/comparison_table.h"

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

ComparisonRow Row(const std::string& group, int runs, double on, double off) {
  const auto interval = [&](double mean) { return MeanInterval{mean, mean - 0.02, mean + 0.02, runs}; };
  ComparisonRow row;
  row.group = group;
  row.num_runs = runs;
  row.hack_on = interval(on);
  row.hack_off = interval(off);
  row.solve_on = row.solve_off = interval(0.4);
  return row;
}

TEST(ComparisonTable, ShowsIntervalsOverSeveralRuns) {
  EXPECT_EQ(ComparisonTable(std::vector{Row("evil_moe", 2, 0.75, 0.02), Row("none", 1, 0.9, 0.9)}),
            "arm       runs  hack ON            hack OFF           hack random half  solve ON           solve OFF\n"
            "evil_moe     2  0.75 [0.73, 0.77]  0.02 [0.00, 0.04]  -                 0.40 [0.38, 0.42]  "
            "0.40 [0.38, 0.42]\n"
            "none         1  0.90               0.90               -                 0.40               0.40\n");
}

}  // namespace
}  // namespace evilmoe
