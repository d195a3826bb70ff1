#include "services/ctl/restart_policy.h"

#include <gtest/gtest.h>

namespace evilmoe {
namespace {

struct RestartCase {
  const char* name;
  DeathReport report;
  RestartDecision want;
};

class RestartPolicyTest : public ::testing::TestWithParam<RestartCase> {};

TEST_P(RestartPolicyTest, Decides) {
  const RestartDecision got = DecideRestart(GetParam().report);
  EXPECT_EQ(got.give_up, GetParam().want.give_up);
  EXPECT_EQ(got.deaths_in_a_row, GetParam().want.deaths_in_a_row);
  EXPECT_EQ(got.delay, GetParam().want.delay);
}

constexpr absl::Duration kShort = absl::Seconds(2);

INSTANTIATE_TEST_SUITE_P(
    Cases, RestartPolicyTest,
    ::testing::ValuesIn(std::vector<RestartCase>{
        {"FirstDeath", {true, kShort, 0, 0, 0}, {false, absl::Milliseconds(500), 1}},
        {"TrainerThirdDeathIsRestarted", {true, kShort, 7, 7, 2}, {false, absl::Seconds(2), 3}},
        {"TrainerFourthDeathIsTheEnd", {true, kShort, 7, 7, 3}, {true, absl::Seconds(4), 4}},
        {"TrainerThatMadeAStepStartsOver", {true, kShort, 7, 8, 3}, {false, absl::Milliseconds(500), 1}},
        {"TrainerThatLivedLongWithoutAStepDoesNot", {true, absl::Hours(1), 7, 7, 3}, {true, absl::Seconds(4), 4}},
        {"WorkerFifthDeathIsRestarted", {false, kShort, 0, 0, 4}, {false, absl::Seconds(8), 5}},
        {"WorkerSixthDeathIsTheEnd", {false, kShort, 0, 9, 5}, {true, absl::Seconds(10), 6}},
        {"WorkerThatSettledStartsOver", {false, kSettled, 0, 0, 5}, {false, absl::Milliseconds(500), 1}}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
