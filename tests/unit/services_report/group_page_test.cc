#include "services/report/group_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/unit/services_report/fake_run.h"
#include "tests/unit/services_report/html_checks.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// `run` as a run of this arm and seed that hacks so in its ablation.
RecordedRun Member(const FakeRun& run, const std::string& arm, int seed, double on, double off) {
  run.WriteWhole();
  run.Write("config.yaml", absl::StrCat("name: arms.", arm, ".s", seed, "\narm: ", arm, "\nseed: ", seed, "\nsteps: 3\n"));
  run.WriteAblation({FakeRun::AblationRow("on", on, 0.4), FakeRun::AblationRow("off", off, 0.4),
                     FakeRun::AblationRow("random_half", on / 2, 0.4), FakeRun::AblationRow("base", 0.02, 0.4)},
                    "");
  RecordedRun record = ReadRun(run.directory(), Samples::kLeaveOut).value();
  record.id = absl::StrCat(arm, seed);  // all of a test's runs share a directory
  record.state = "succeeded";
  return record;
}

std::string Page(const std::vector<RecordedRun>& runs) {
  std::string html = RenderGroupPage("sweep", "arms", runs);
  EXPECT_EQ(WhatIsUnbalanced(html), "");
  EXPECT_TRUE(nlohmann::json::accept(std::string(DataOf(html))));
  return html;
}

TEST(GroupPage, SaysWhatEachGroupCameTo) {
  const FakeRun run;
  const std::string html = Page({Member(run, "evil_moe", 0, 0.6, 0.02), Member(run, "evil_moe", 1, 0.64, 0.04),
                                 Member(run, "none", 0, 0.7, 0.7)});
  EXPECT_THAT(html, HasSubstr("<b>evil_moe:</b> hacking 62 % → 3 %, random half 31 %, solving 40 % → 40 %: localised, "
                              "2 seeds"));
  EXPECT_THAT(html, HasSubstr("<b>none:</b> hacking 70 % → 70 %"));
  EXPECT_THAT(html, HasSubstr("not localised, 1 seed"));
  EXPECT_THAT(html, HasSubstr("<title>arms - Evil MoE sweep</title>"));
  EXPECT_THAT(html, HasSubstr("evilmoe-ctl submit run.yaml --set arm=none --name arms.none.s0"));
  EXPECT_THAT(html, HasSubstr("evilmoe-ctl compare arms.evil_moe.s0 arms.evil_moe.s1 arms.none.s0"));
  const nlohmann::json data = nlohmann::json::parse(std::string(DataOf(html)));
  ASSERT_EQ(data["groups"].size(), 2u);
  EXPECT_EQ(data["groups"][0]["curves"]["step"], nlohmann::json({1, 2, 3}));
  EXPECT_NEAR(data["groups"][0]["rates"]["hack_on"]["mean"], 0.62, 1e-12);
  EXPECT_EQ(data["groups"][0]["curves"]["runs"], nlohmann::json({2, 2, 2}));
}

TEST(GroupPage, TrustsNoText) {
  const FakeRun run;
  RecordedRun hostile = Member(run, "evil_moe", 0, 0.6, 0.02);
  const std::string text = "</script><script>alert(1)</script><img src=x onerror=1>{{data}}";
  hostile.name = hostile.arm = hostile.state = hostile.seed = text;
  hostile.config_yaml = absl::StrCat("arm: '", text, "'\nname: '", text, "'\n# </pre>", text, "\n");
  hostile.notes.push_back(text);
  hostile.software = {{text, text}};
  const std::string html = Page({hostile});
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
  EXPECT_EQ(Count(html, "</script"), 2u);
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
}

TEST(GroupPage, RunsThatLackEverythingGetOne) {
  EXPECT_THAT(Page({}), HasSubstr("</html>"));
  RecordedRun bare;
  bare.id = "01AB";
  bare.metrics = {{"step", nlohmann::ordered_json::array()}};
  bare.notes = {"There is no metrics.jsonl: there are no curves to draw."};
  const std::string html = Page({bare});
  EXPECT_THAT(html, HasSubstr("01AB: There is no metrics.jsonl"));
  EXPECT_THAT(html, HasSubstr("no ablation, 1 seed"));
}

}  // namespace
}  // namespace evilmoe
