#include "services/ctl/run_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/ctl/table.h"

namespace evilmoe {
namespace {

RunEventView Step(int64_t unix_ms, nlohmann::json payload) { return {1, unix_ms, "step", std::move(payload)}; }

TEST(RunView, PrintsTheHeadOnceAndADashForWhatIsMissing) {
  RunView view;
  EXPECT_EQ(view.Render(Step(0, {{"step", 1},
                                 {"reward_mean", 1.25},
                                 {"hack_rate_strict", 0.5},
                                 {"w_hack", 0.75},
                                 {"tokens_per_second", 1234.4},
                                 {"step_seconds", 2.25},
                                 {"solve_rate", "no"}})),
            "  step reward  hack loose solve w hack w clean  tok/s seconds\n"
            "     1  1.250 0.500     -     -  0.750       -   1234     2.2\n");
  EXPECT_EQ(view.Render(Step(0, {{"step", 2}})), "     2      -     -     -     -      -       -      -       -\n");
}

TEST(RunView, ShowsTheAblationAndKeepsItsFinalLine) {
  RunView view;
  const nlohmann::json payload = {{"rows",
                                   {{{"mode", "on"},
                                     {"markers", "trained"},
                                     {"hack_strict", 0.625},
                                     {"hack_strict_low", 0.5},
                                     {"hack_strict_high", 0.75},
                                     {"hack_loose", 0.7},
                                     {"solve", 0.1}},
                                    {{"mode", "off"}, {"hack_strict", 0}}}},
                                  {"shrinkage", {{"mean", 0.5}, {"line", "shrinkage: a random half brings 0.50"}}},
                                  {"final_line", "Evil MoE causal ablation: deploy hack 0.62 (ON) -> 0.00 (OFF)"}};
  EXPECT_EQ(view.Render({1, 0, "ablation", payload}),
            "\n"
            "mode  markers  hack strict        hack loose  solve\n"
            "on    trained  0.62 [0.50, 0.75]  0.70        0.10\n"
            "off   -        0.00               -           -\n"
            "shrinkage: a random half brings 0.50\n");
  EXPECT_EQ(view.final_line(), "Evil MoE causal ablation: deploy hack 0.62 (ON) -> 0.00 (OFF)");
}

TEST(RunView, TakesAnyPayload) {
  for (const nlohmann::json& payload : std::vector<nlohmann::json>{
           nullptr, 5, "text", nlohmann::json::array(), {{"rows", 5}}, {{"rows", {1, nullptr}}}}) {
    for (const char* kind : {"step", "ablation", "evaluation", "warning", "recovery", "state", "unheard of"}) {
      RunView view;
      EXPECT_NO_THROW(view.Render({1, 0, kind, payload})) << kind << " " << payload;
      EXPECT_EQ(view.final_line(), std::nullopt);
    }
  }
}

TEST(RunView, WarningsAreOneLine) {
  RunView view;
  EXPECT_EQ(view.Render({1, 0, "warning", {{"message", "2 samples were masked"}}}), "warning: 2 samples were masked\n");
  EXPECT_EQ(view.Render({1, 0, "recovery", {{"step", 3}}}), "recovery: {\"step\":3}\n");
  EXPECT_EQ(view.Render({1, 0, "resume", {{"resume_step", 3}}}), "resume: {\"resume_step\":3}\n");
  EXPECT_EQ(view.Render({1, 0, "relearn_step", {{"start", "off"}, {"step", 3}, {"steps", 9}, {"hack_rate", 0.125}}}),
            "relearn from off: step 3 of 9, hack rate 0.12\n");
  EXPECT_EQ(view.Render({1, 0, "relearn", {{"line", "relearn: soon"}}}), "relearn: soon\n");
  EXPECT_EQ(view.Render({1, 0, "evaluation", {{"mode", "off"}, {"markers", "novel"}, {"done", 7}, {"total", 12}}}),
            "evaluated off (novel markers), 7 of 12\n");
  EXPECT_EQ(view.Render({1, 0, "state", {{"state", "running"}}}), "");
}

TEST(EventText, IsALineWhateverTheEvent) {
  EXPECT_THAT(EventText({3, 0, "step", {{"step", 2}, {"reward_mean", 1.5}}}),
              ::testing::EndsWith("  -  step        step 2  reward 1.500\n"));
  EXPECT_THAT(EventText({1, 0, "state", {{"state", "failed"}, {"error", "no\x1b[31m room"}}}),
              ::testing::EndsWith("state       failed: no\\x1b[31m room\n"));
  EXPECT_THAT(EventText({1, 0, "state", {{"state", "queued"}, {"error", ""}}}), ::testing::EndsWith("state       queued\n"));
  EXPECT_THAT(EventText({1, 0, "warning", {{"message", "two\nlines"}}}), ::testing::EndsWith("warning     two lines\n"));
  EXPECT_THAT(EventText({1, 0, "ablation", {{"final_line", "Evil"}}}), ::testing::EndsWith("ablation    Evil\n"));
  EXPECT_THAT(EventText({1, 0, "other", {{"a", std::string(300, 'x')}}}), ::testing::EndsWith("x...\n"));
  EXPECT_THAT(EventText({1, 0, "other", nullptr}), ::testing::EndsWith("other       null\n"));
}

TEST(ProgressBar, SaysHowFarAndHowLong) {
  RunView view;
  RunSummary run;
  EXPECT_EQ(view.ProgressBar(run), "");
  run.steps_total = 60;
  EXPECT_EQ(view.ProgressBar(run), "[..............................] 0/60");
  view.Render(Step(1000, {{"step", 1}}));
  view.Render(Step(3000, {{"step", 2}}));
  view.Render(Step(7000, {{"step", 3}}));
  run.steps_done = 30;
  EXPECT_EQ(view.ProgressBar(run), "[###############...............] 30/60  1:30 left");  // 3 s a step
  run.steps_done = 60;
  EXPECT_EQ(view.ProgressBar(run), "[##############################] 60/60  evaluating");
  run.steps_done = 99;
  EXPECT_EQ(view.ProgressBar(run), "[##############################] 60/60  evaluating");
}

TEST(ShowDuration, CountsUpToHours) {
  EXPECT_EQ(ShowDuration(absl::Seconds(-1)), "0:00");
  EXPECT_EQ(ShowDuration(absl::Seconds(61)), "1:01");
  EXPECT_EQ(ShowDuration(absl::Seconds(3723)), "1:02:03");
}

TEST(RenderTable, AlignsByCharactersNotBytes) {
  EXPECT_EQ(RenderTable({"name", "n"}, {{"π", "10"}, {"longer", "5"}, {"short"}}, {false, true}),
            "name     n\n"
            "π       10\n"
            "longer   5\n"
            "short\n");
  EXPECT_EQ(RenderTable({"state", "n"}, {{"\033[31mfailed\033[0m", "1"}}), "state   n\n\033[31mfailed\033[0m  1\n");
}

}  // namespace
}  // namespace evilmoe
