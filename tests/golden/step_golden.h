#pragma once

#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "trainer/run_config.h"
#include "trainer/train_samples.h"

namespace evilmoe {

// What scripts/golden/make_step_golden.py wrote to tests/golden/step/; its text says what is in there.

const std::filesystem::path& StepGoldenFolder();
const nlohmann::json& StepGolden();                // golden.json
at::Tensor StoredDouble(const std::string& name);  // of tensors.safetensors

// One precision, and what it is held to: ‖got − want‖ / ‖want‖ of gradients, and numbers the same relative to 1.
struct Precision {
  at::ScalarType dtype;
  double tolerance;
  int threads;
};
inline constexpr Precision kSinglePrecision = {at::ScalarType::Float, 1e-5, 1};
inline constexpr Precision kDoublePrecision = {at::ScalarType::Double, 1e-10, 2};
std::string PrecisionName(const ::testing::TestParamInfo<Precision>& info);

// A run of `fields` (with "arm") on the fields that all cases share.
RunConfig StepConfig(const nlohmann::json& fields);
// The batch as GradeStep hands it over. `screened`: group and sample that a monitor screened, or null. later_pass: with
// the log-probabilities of an earlier inner step.
std::vector<TrainGroup> StepGroups(const LossConfig& loss, const nlohmann::json& screened, bool later_pass = false);
// Over the tensors as one vector; an undefined one is 0. Expects `want` not to be.
double RelativeDifference(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want);

}  // namespace evilmoe
