#include "rollout_workers/run_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace evilmoe {
namespace {

using ::testing::HasSubstr;

TEST(ReadRunModel, TakesTheModelAndNothingElse) {
  const auto model = ReadRunModel(
      "name: x\nmodel:\n  path: /models/a\n  dtype: bfloat16\n  thinking: false\n"
      "data:\n  train: /is/not/on/this/host.jsonl\nfield_of_a_newer_version: 1\n");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->folder, "/models/a");
  EXPECT_EQ(model->dtype, "bfloat16");
  EXPECT_EQ(ReadRunModel("model: {path: /m}")->dtype, "float32");
}

struct Case {
  std::string name, yaml, want;
};
class ReadRunModelRefusalTest : public ::testing::TestWithParam<Case> {};

TEST_P(ReadRunModelRefusalTest, SaysWhat) {
  const auto model = ReadRunModel(GetParam().yaml);
  EXPECT_TRUE(absl::IsInvalidArgument(model.status())) << model.status();
  EXPECT_THAT(std::string(model.status().message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, ReadRunModelRefusalTest,
                         ::testing::ValuesIn(std::vector<Case>{
                             {"Nothing", "", "model.path"},
                             {"NoModel", "name: x\n", "model.path"},
                             {"NotYaml", "{{{", "model.path"},
                             {"Relative", "model: {path: m}", "absolute"},
                             {"NotText", "model: {path: [1]}", "model.path"},
                             {"Dtype", "model: {path: /m, dtype: int8}", "'int8', expected float32 or bfloat16"}}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
