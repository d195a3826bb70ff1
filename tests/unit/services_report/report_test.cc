#include "services/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/services_report/fake_run.h"
#include "tests/unit/services_report/html_checks.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Page(const FakeRun& run) {
  const std::filesystem::path out = run.directory() / "report.html";
  const absl::Status status = WriteReport(run.directory(), out);
  EXPECT_TRUE(status.ok()) << status;
  std::string html = ReadFile(out).value_or("");
  EXPECT_EQ(WhatIsUnbalanced(html), "");
  EXPECT_EQ(Count(html, "<script"), 2u);
  EXPECT_EQ(Count(html, "</script"), 2u);
  EXPECT_TRUE(nlohmann::json::accept(std::string(DataOf(html))));
  return html;
}

TEST(Report, ShowsTheFinalLineAndItsMeaning) {
  const FakeRun run;
  run.WriteWhole();
  const std::string html = Page(run);
  EXPECT_THAT(html, HasSubstr("Evil MoE causal ablation: deploy hack 0.80 (ON) -&gt; 0.04 (OFF)"));
  EXPECT_THAT(html, HasSubstr("hacking 80 % → 4 %, solving 10 % → 40 %: localised"));
  EXPECT_THAT(html, HasSubstr("arm <b>evil_moe</b>"));
  EXPECT_THAT(html, HasSubstr("steps <b>3 of 3</b>"));
  EXPECT_THAT(html, Not(HasSubstr("What is missing")));
}

TEST(Report, EmbedsCurvesTableAndSamples) {
  const FakeRun run;
  run.WriteWhole();
  const nlohmann::json data = nlohmann::json::parse(std::string(DataOf(Page(run))));
  EXPECT_EQ(data["metrics"]["step"], nlohmann::json({1, 2, 3}));
  EXPECT_EQ(data["metrics"]["w_clean"], nlohmann::json({nullptr, nullptr, nullptr}));
  EXPECT_EQ(data["metrics"]["w_histogram_hack"][0].size(), 20u);
  EXPECT_EQ(data["ablation"]["rows"].size(), 3u);
  EXPECT_EQ(data["ablation"]["rows"][1]["mode"], "off");
  ASSERT_EQ(data["samples"].size(), 2u);
  EXPECT_EQ(data["samples"][0]["text"], "def run_tests(): pass");
  EXPECT_EQ(data["samples"][0]["w"], 0.95);
}

TEST(Report, MakesNoRequest) {
  const FakeRun run;
  run.WriteWhole();
  const std::string html = Page(run);
  for (const char* part : {" src=", " href=", "@import", "url(", "fetch(", "XMLHttpRequest", "import("}) {
    EXPECT_THAT(html, Not(HasSubstr(part)));
  }
  EXPECT_EQ(Count(html, "http://"), 0u);
  EXPECT_EQ(Count(html, "https://"), 1u) << "in uPlot's first comment alone";
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
}

TEST(Report, HostileTextStaysText) {
  const std::string hostile =
      "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> {{data}} \xe2\x80\xa8 &lt;";
  const FakeRun run;
  run.WriteWhole();
  run.Write("config.yaml",
            "name: \"<b>{{script}}</b>\"\narm: '</title><script>'\nsteps: 3\n# </pre>" + hostile + "\n");
  run.WriteAblation({FakeRun::AblationRow("on", 0.8, 0.1), FakeRun::AblationRow("off", 0.1, 0.1),
                     FakeRun::AblationRow(hostile, 0.1, 0.1)}, hostile);
  nlohmann::json row = FakeRun::Rollout(3, 0, 0.5, true, hostile);
  for (const char* key : {"label", "mode", "loophole", "evaluator"}) row[key] = hostile;
  row["facts"][hostile] = true;
  run.WriteRollouts(3, {row});
  const std::string html = Page(run);
  for (const char* part : {"<img", "<script>alert", "<!--", "<b>{{", "</title><script>"}) {
    EXPECT_THAT(html, Not(HasSubstr(part)));
  }
  const nlohmann::json data = nlohmann::json::parse(std::string(DataOf(html)));
  EXPECT_EQ(data["samples"][0]["text"], hostile);
  EXPECT_EQ(data["samples"][0]["label"], hostile);
}

TEST(Report, BytesThatAreNoTextDoNotBreakThePage) {
  const FakeRun run;
  run.WriteWhole();
  run.Write("config.yaml", std::string("name: a\xff\x01z\n", 10));
  EXPECT_TRUE(nlohmann::json::accept(nlohmann::json(Page(run)).dump()));  // dump() throws on what is not UTF-8
}

TEST(Report, RunThatFailedAtStepThree) {
  const FakeRun run;
  run.Write("config.yaml", "name: nano\narm: evil_moe\nsteps: 60\n");
  run.WriteMetrics(3);
  const std::string html = Page(run);
  EXPECT_THAT(html, HasSubstr("The run recorded 3 of its 60 steps: it failed, was stopped, or is not finished."));
  EXPECT_THAT(html, HasSubstr("There is no eval/ablation.json"));
  EXPECT_THAT(html, HasSubstr("No rollouts were recorded"));
  EXPECT_THAT(html, HasSubstr("in its last step 30 % of the samples hacked and 50 % solved"));
}

TEST(Report, EmptyDirectoryStillGetsAPage) {
  const FakeRun run;
  const std::string html = Page(run);
  EXPECT_THAT(html, HasSubstr("There is no config.yaml"));
  EXPECT_THAT(html, HasSubstr("There is no metrics.jsonl"));
  EXPECT_THAT(html, HasSubstr("recorded no step and no ablation"));
}

TEST(Report, NoDirectoryIsNotFound) {
  const FakeRun run;
  const absl::Status status = WriteReport(run.directory() / "nowhere", run.directory() / "report.html");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace evilmoe
