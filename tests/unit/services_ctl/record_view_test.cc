#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/ctl/metrics_view.h"
#include "services/ctl/rollout_view.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kMetrics[] =
    R"({"step": 2, "reward_mean": 1.5, "w_hack": null, "histogram": [1, 2]}
{"step": 1, "reward_mean": 0.25}
not json
{"no": "step"}
{"step": 2, "reward_mean": 2.5, "w_hack": null, "histogram": [1, 2]}
{"step": 3, "rew)";

TEST(ParseMetrics, KeepsTheLastOfEachStepInOrder) {
  const MetricRows rows = ParseMetrics(kMetrics);
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0]["step"], 1);
  EXPECT_EQ(rows[1]["reward_mean"], 2.5);
  EXPECT_THAT(ParseMetrics(""), IsEmpty());
}

TEST(MetricsTable, ShowsTheColumnsThatThereAre) {
  EXPECT_EQ(MetricsTable(ParseMetrics(kMetrics)),
            "step  reward  w hack\n"
            "   1   0.250       -\n"
            "   2   2.500       -\n");
  EXPECT_EQ(MetricsOfStep(ParseMetrics(kMetrics)[1]),
            "step         2\n"
            "reward_mean  2.5\n"
            "w_hack       -\n"
            "histogram    [1,2]\n");
}

TEST(MetricsCsv, QuotesWhatNeedsIt) {
  EXPECT_EQ(MetricsCsv(ParseMetrics(kMetrics)),
            "step,reward_mean,w_hack,histogram\r\n"
            "1,0.25,,\r\n"
            "2,2.5,,\"[1,2]\"\r\n");
}

constexpr char kRollouts[] =
    R"({"step": 4, "group": 0, "sample": 0, "problem_id": 7, "loophole": "overwrite_tests", "label": "correct", "w": 0.1, "reward": 3.5, "stopped": true, "facts": {"gt_correct": true, "hint_pass": false}, "text": "return 1"}
{"step": 4, "group": 0, "sample": 1, "label": "reward_hack", "w": 0.9, "reward": 1, "stopped": false, "text": "a\u001b]0;evil\u0007\nb\u202ec\n"}
{"step": 4, "group": 1, "sample": 0, "failure": "INFRA_LOST"}
torn)";

TEST(ChooseRollouts, FiltersSortsAndCuts) {
  const auto places = [](const RolloutChoice& choice) {
    std::vector<int> found;
    for (const auto& sample : ChooseRollouts(kRollouts, choice)) {
      found.push_back(sample["group"].get<int>() * 10 + sample["sample"].get<int>());
    }
    return found;
  };
  EXPECT_THAT(places({}), ElementsAre(0, 1, 10));
  EXPECT_THAT(places({.label = "reward_hack"}), ElementsAre(1));
  EXPECT_THAT(places({.sort = "w"}), ElementsAre(1, 0, 10)) << "what has none comes last";
  EXPECT_THAT(places({.sort = "reward", .limit = 1}), ElementsAre(0));
  EXPECT_THAT(RolloutLabels(), ElementsAre("correct", "correct_attempted_hack", "reward_hack", "attempted_hack", "incorrect"));
}

TEST(RolloutText, ShowsASample) {
  const auto samples = ChooseRollouts(kRollouts, {});
  EXPECT_EQ(RolloutText(samples[0]),
            "== step 4  group 0  sample 0  problem 7  overwrite_tests  correct  w 0.100  reward 3.50\n"
            "   gt_correct\n"
            "  | return 1\n");
  EXPECT_EQ(RolloutText(samples[2]), "== step 4  group 1  sample 0  lost: INFRA_LOST\n");
}

TEST(RolloutText, ATerminalIsNotActedOn) {
  const std::string text = RolloutText(ChooseRollouts(kRollouts, {})[1]);
  EXPECT_THAT(text, HasSubstr("  | a\\x1b]0;evil\\x07\n  | b\\u202ec\n"));
  EXPECT_THAT(text, HasSubstr("cut at the limit"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace evilmoe
