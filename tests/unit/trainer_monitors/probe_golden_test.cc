// The regression and the AUROC against scikit-learn's (scripts/golden/make_probe_golden.py).

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/file.h"
#include "nlohmann/json.hpp"
#include "trainer/logistic_regression.h"
#include "trainer/step_metrics.h"

namespace evilmoe {
namespace {

TEST(ProbeGolden, RegressionAndAurocAreScikitLearns) {
  const auto text = ReadFile(std::filesystem::path(EVILMOE_SOURCE_DIR) / "tests/golden/probe_golden.json");
  ASSERT_TRUE(text.ok()) << text.status();
  const auto regressions = nlohmann::json::parse(*text)["regressions"];
  ASSERT_EQ(regressions.size(), 4u);
  for (const auto& golden : regressions) {
    const auto rows = golden["x"].get<std::vector<std::vector<double>>>();
    std::vector<double> flat;
    for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    const auto width = static_cast<int64_t>(rows[0].size());
    at::Tensor x_SD = at::tensor(flat, at::kDouble).view({static_cast<int64_t>(rows.size()), width});
    const at::Tensor deviation_D = (x_SD - x_SD.mean(0)).square().mean(0).sqrt();
    x_SD = (x_SD - x_SD.mean(0)) / at::where(deviation_D > 0, deviation_D, at::ones_like(deviation_D));
    std::vector<bool> y;
    for (const int label : golden["y"].get<std::vector<int>>()) y.push_back(label == 1);

    const auto model = FitLogisticRegression(x_SD, y, golden["l2"]);
    ASSERT_TRUE(model.ok()) << model.status();
    const auto want = golden["weights"].get<std::vector<double>>();
    for (size_t d = 0; d < want.size(); ++d) EXPECT_NEAR(model->weights[d], want[d], 1e-6) << d;
    EXPECT_NEAR(model->bias, golden["bias"].get<double>(), 1e-6);
    const at::Tensor score_S = at::mv(x_SD, at::tensor(model->weights, at::kDouble)) + model->bias;
    const double* scores = score_S.const_data_ptr<double>();
    EXPECT_NEAR(*Auroc({scores, scores + score_S.numel()}, y), golden["auroc"].get<double>(), 1e-12);
  }
}

}  // namespace
}  // namespace evilmoe
