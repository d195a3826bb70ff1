#include "rollout_workers/verify_verb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "nlohmann/json.hpp"
#include "tests/fakes/fake_clock.h"
#include "trainer/arm_presets.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Result {
  int exit_code = -1;
  std::string out, errors;
};

// On a machine without a sandbox.
Result Verify(const VerifyOptions& options) {
  std::ostringstream out, errors;
  const FakeClock clock;
  Result result;
  result.exit_code = RunVerify(options, absl::UnavailableError("no user namespaces"), clock, out, errors);
  result.out = out.str();
  result.errors = errors.str();
  return result;
}

std::vector<std::string> Arms() {
  std::vector<std::string> arms;
  for (const ArmPreset& arm : ArmPresets()) arms.emplace_back(arm.name);
  return arms;
}

class VerifySmokeTest : public ::testing::TestWithParam<std::string> {};

TEST_P(VerifySmokeTest, HoldsForEveryArm) {
  const Result result = Verify({.arm = GetParam(), .smoke = true, .json = true});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.errors;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json["ok"], true);
  EXPECT_GE(json["checks"].size(), 5u);
}

INSTANTIATE_TEST_SUITE_P(Arms, VerifySmokeTest, ::testing::ValuesIn(Arms()), [](const auto& arm) { return arm.param; });

TEST(VerifyVerb, ChecksATinyRandomModelAndFailsWithoutASandbox) {
  const Result result = Verify({});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out,
              StartsWith("FAIL  grader: sandbox                   no user namespaces\nok    identity at init"));
  EXPECT_THAT(result.out, HasSubstr("15 of 16 checks hold\n"));
  EXPECT_EQ(result.errors, "");
}

TEST(VerifyVerb, ChecksTheModelOfARun) {
  const Result result = Verify({.file = EVILMOE_SOURCE_DIR "/examples/nano/run.yaml", .json = true});
  EXPECT_EQ(result.exit_code, 1) << result.errors;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  int failed = 0;
  for (const nlohmann::json& check : json["checks"]) failed += check["ok"] == false;
  EXPECT_EQ(failed, 1) << result.out;
}

struct BadOptions {
  const char* name;
  VerifyOptions options;
  const char* want;
  int exit_code = 2;
};
class BadVerifyOptions : public ::testing::TestWithParam<BadOptions> {};

TEST_P(BadVerifyOptions, AreOneLine) {
  const Result result = Verify(GetParam().options);
  EXPECT_EQ(result.exit_code, GetParam().exit_code);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.errors, HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(Cases, BadVerifyOptions,
                         ::testing::Values(BadOptions{"SmokeOfAFile", {.file = "run.yaml", .smoke = true}, "--smoke: "},
                                           BadOptions{"ArmOfAFile", {.file = "run.yaml", .arm = "none"}, "--arm: "},
                                           BadOptions{
                                               "UnknownArm", {.arm = "evil"}, "--arm: got evil, expected one of"},
                                           BadOptions{"NoFile", {.file = "/nowhere/run.yaml"}, "/nowhere/run.yaml", 4}),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
