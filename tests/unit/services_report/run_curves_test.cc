#include "services/report/run_curves.h"

#include <gtest/gtest.h>

#include <array>

namespace evilmoe {
namespace {

using Json = nlohmann::ordered_json;

RecordedRun Curves(const Json& steps, const Json& kl) {
  RecordedRun run;
  run.metrics = {{"step", steps}, {"kl", kl}};
  return run;
}

TEST(MeanCurves, AveragesWhatEachStepHas) {
  const RecordedRun a = Curves({1, 2, 3}, {0.4, nullptr, 3.0}), b = Curves({1, 2}, {0.6, nullptr}), c = Curves({1}, {0.5});
  const std::vector<const RecordedRun*> runs = {&a, &b, &c};
  const std::array keys = {"kl", "missing"};
  const Json curves = MeanCurves(runs, keys);
  EXPECT_EQ(curves["step"], Json({1, 2, 3}));
  EXPECT_EQ(curves["runs"], Json({3, 2, 1}));
  EXPECT_NEAR(curves["kl"]["mean"][0], 0.5, 1e-12);
  // As OverRuns in comparison_test: three values with a standard deviation of 0.1.
  EXPECT_NEAR(curves["kl"]["low"][0], 0.5 - 0.24844, 1e-4);
  EXPECT_NEAR(curves["kl"]["high"][0], 0.5 + 0.24844, 1e-4);
  EXPECT_EQ(curves["kl"]["mean"][1], nullptr) << "both lack it";
  EXPECT_EQ(curves["kl"]["low"][2], 3.0) << "above 1, and not cut";
  EXPECT_EQ(curves["missing"]["mean"], Json({nullptr, nullptr, nullptr}));
}

TEST(MeanCurves, OfNoRuns) {
  const std::array keys = {"kl"};
  EXPECT_EQ(MeanCurves({}, keys)["step"], Json::array());
}

}  // namespace
}  // namespace evilmoe
