// AdamW's steps against scripts/golden/make_step_golden.py.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/golden/step_golden.h"
#include "trainer/optimizer.h"

namespace evilmoe {
namespace {

using nlohmann::json;

class AdamWGolden : public ::testing::TestWithParam<Precision> {};

TEST_P(AdamWGolden, StepsAgreeGivenIdenticalGradients) {
  const json& golden = StepGolden()["adamw"];
  const auto read = [&](const std::string& part) {
    std::vector<at::Tensor> tensors;
    for (int i = 0; i < 2; ++i) {
      tensors.push_back(StoredDouble(absl::StrCat("adamw/", part, ".", i)).to(GetParam().dtype, false, /*copy=*/true));
    }
    return tensors;
  };
  const std::vector<at::Tensor> parameters = read("p");
  AdamW optimizer(parameters, read("anchor"),
                  {.learning_rate = golden["learning_rate"],
                   .beta1 = golden["beta1"],
                   .beta2 = golden["beta2"],
                   .epsilon = golden["epsilon"],
                   .decay = golden["decay"]});
  const auto factors = golden["factors"].get<std::vector<double>>();
  ASSERT_EQ(factors.size(), 3u);
  for (size_t step = 0; step < factors.size(); ++step) {
    optimizer.Step(read(absl::StrCat(step, ".gradient")), factors[step]);
    std::vector<at::Tensor> want;
    for (int i = 0; i < 2; ++i) want.push_back(StoredDouble(absl::StrCat("adamw/", step, ".p.", i)));
    EXPECT_LE(RelativeDifference(parameters, want), GetParam().dtype == at::kDouble ? 1e-14 : 1e-6) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, AdamWGolden, ::testing::Values(kSinglePrecision, kDoublePrecision), PrecisionName);

}  // namespace
}  // namespace evilmoe
