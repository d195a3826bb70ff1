// The verbs that look at runs, as whole command lines.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/unit/services_ctl/verb_session.h"

namespace evilmoe {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using ShowVerbs = VerbSession;

TEST_F(ShowVerbs, ListFiltersBySweepStateAndNumber) {
  AddRun("A1", "one", "succeeded").sweep = "arms";
  AddRun("A2", "two", "running").sweep = "arms";
  AddRun("A3", "three", "running");
  EXPECT_THAT(Ctl({"list"}).out, HasSubstr("A1   one    evil_moe  succeeded  12/40  arms"));
  EXPECT_THAT(Ctl({"list", "--sweep", "arms"}).out, Not(HasSubstr("A3")));
  const Result running = Ctl({"list", "--state", "running", "--limit", "1", "--output", "json"});
  EXPECT_EQ(running.exit_code, 0);
  const nlohmann::json list = nlohmann::json::parse(running.out);
  ASSERT_THAT(list, SizeIs(1));
  EXPECT_EQ(list[0]["run_id"], "A3") << "the newest";
}

TEST_F(ShowVerbs, GetShowsEveryField) {
  RunSummary& run = AddRun("A1", "one", "queued");
  run.priority = 7;
  run.slots = 2;
  run.sweep = "arms";
  run.adapter_step = 12;
  run.adapter_sha256 = "a5";
  run.model_fingerprint = "f9";
  run.error = "bad \x1b[31m";
  const std::string out = Ctl({"get", "one"}).out;
  for (const char* row : {"priority    7", "slots       2", "sweep       arms", "adapter     step 12, a5",
                          "base model  f9", "error       bad \\x1b[31m", "state       queued, place 1 of 1"}) {
    EXPECT_THAT(out, HasSubstr(row));
  }
  const nlohmann::json json = nlohmann::json::parse(Ctl({"get", "one", "--output", "json"}).out);
  EXPECT_EQ(json["adapter"]["sha256"], "a5");
  EXPECT_EQ(json["priority"], 7);
}

TEST_F(ShowVerbs, TellWhatIsNotThere) {
  AddRun("A1", "one", "running");
  const Result missing = Ctl({"get", "two"});
  EXPECT_EQ(missing.exit_code, 4);
  EXPECT_THAT(missing.errors, HasSubstr("run two: not found"));
  EXPECT_EQ(Ctl({"metrics", "one", "--step", "3"}).exit_code, 4);
  EXPECT_EQ(Ctl({"rollouts", "one"}).exit_code, 4);
  EXPECT_EQ(Ctl({"logs", "one", "--component", "trainer"}).exit_code, 4);
  coordinator_.down = absl::UnavailableError("coordinator fake: refused");
  const Result gone = Ctl({"list"});
  EXPECT_EQ(gone.exit_code, 3);
  EXPECT_EQ(gone.errors, "evilmoe-ctl: coordinator fake: refused\n");
  coordinator_.down = absl::PermissionDeniedError("the token lacks role read");
  EXPECT_EQ(Ctl({"list"}).exit_code, 5);
}

TEST_F(ShowVerbs, EventsAndLogsGoOnToTheEnd) {
  AddRun("A1", "one", "running");
  coordinator_.AddEvent("A1", "step", {{"step", 1}, {"reward_mean", 0.5}});
  EXPECT_THAT(Ctl({"events", "one"}).out, HasSubstr("step 1  reward 0.500"));
  EXPECT_THAT(Ctl({"logs", "one"}).out, HasSubstr("  0.500"));
  EXPECT_EQ(Ctl({"events", "one", "--output", "json"}).out,
            "{\"seq\":1,\"unix_ms\":1000,\"kind\":\"step\",\"payload\":{\"reward_mean\":0.5,\"step\":1}}\n");
  int looks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    if (++looks != 3) return;
    c.AddEvent("A1", "ablation", {{"final_line", "Evil MoE causal ablation: deploy hack 0.60 (ON) -> 0.00 (OFF)"}});
    c.Find("A1")->state = "succeeded";
  };
  const Result events = Ctl({"events", "one", "-f"});
  EXPECT_EQ(events.exit_code, 0);
  EXPECT_THAT(events.out, HasSubstr("ablation    Evil MoE causal ablation: deploy hack 0.60 (ON) -> 0.00 (OFF)"));
  coordinator_.Find("A1")->state = "running";
  looks = 0;
  const Result logs = Ctl({"logs", "one", "--follow"});
  EXPECT_EQ(logs.exit_code, 0) << logs.errors;
  EXPECT_THAT(logs.out, ::testing::EndsWith("(ON) -> 0.00 (OFF)\n"));
}

TEST_F(ShowVerbs, WhatFollowsBearsALostCoordinator) {
  AddRun("A1", "one", "running");
  coordinator_.AddEvent("A1", "warning", {{"message", "first"}});
  std::string& log = coordinator_.run_files["A1"]["logs/trainer.log"];
  int looks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    ++looks;
    if (looks == 2) c.lost_looks = 2;
    if (looks != 3) return;
    log += "second\n";
    c.AddEvent("A1", "warning", {{"message", "second"}});
    c.Find("A1")->state = "succeeded";
  };
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"events", "one", "-f"}, {"logs", "one", "-f"}, {"logs", "one", "-f", "--component", "trainer"}}) {
    coordinator_.Find("A1")->state = "running";
    coordinator_.events["A1"].resize(1);
    log = "first\n";
    looks = 0;
    const Result result = Ctl(words);
    EXPECT_EQ(result.exit_code, 0) << result.errors;
    EXPECT_THAT(result.out, ::testing::ContainsRegex("first[^~]*second")) << words.back();
  }
  coordinator_.tick = [](FakeCoordinator& c) { c.lost_looks = 1; };
  EXPECT_EQ(Ctl({"events", "one"}).exit_code, 3) << "nobody asked it to wait";
  coordinator_.lost_looks = 0;
  coordinator_.Find("A1")->state = "running";
  looks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    if (++looks == 2) c.down = absl::PermissionDeniedError("the token has run out");
  };
  EXPECT_EQ(Ctl({"events", "one", "-f"}).exit_code, 5) << "waiting does not help";
}

TEST_F(ShowVerbs, AFailedRunIsToldByItsExitCode) {
  AddRun("A1", "one", "failed").error = "the trainer died";
  coordinator_.AddEvent("A1", "state", {{"state", "failed"}, {"error", "the trainer died"}});
  const Result logs = Ctl({"logs", "one", "-f"});
  EXPECT_EQ(logs.exit_code, 1);
  EXPECT_THAT(logs.errors, HasSubstr("run A1 failed: the trainer died; logs: `evilmoe-ctl logs A1 --component trainer`"));
}

TEST_F(ShowVerbs, ReadFilesOfAnotherHost) {
  AddRun("A1", "one", "running");
  auto& files = coordinator_.run_files["A1"];
  files["logs/trainer.log"] = "{\"event\":\"step\"}\n";
  files["logs/trainer.stderr"] = "noise";
  files["metrics.jsonl"] = "{\"step\":1,\"reward_mean\":0.25}\n{\"step\":2,\"reward_mean\":0.5}\n";
  files["rollouts/step-2.jsonl.zst"] = PackedRollouts("{\"step\":2,\"label\":\"correct\",\"w\":0.1,\"text\":\"early\"}\n");
  files["rollouts/step-10.jsonl.zst"] =
      PackedRollouts("{\"step\":10,\"label\":\"correct\",\"w\":0.1,\"text\":\"x\"}\n"
                     "{\"step\":10,\"label\":\"reward_hack\",\"w\":0.9,\"text\":\"def run_tests\"}\n");
  EXPECT_EQ(Ctl({"logs", "one", "--component", "trainer"}).out, "{\"event\":\"step\"}\n");
  EXPECT_EQ(Ctl({"metrics", "one"}).out, "step  reward\n   1   0.250\n   2   0.500\n");
  EXPECT_EQ(Ctl({"metrics", "one", "--csv"}).out, "step,reward_mean\r\n1,0.25\r\n2,0.5\r\n");
  EXPECT_EQ(Ctl({"metrics", "one", "--step", "2", "--output", "json"}).out, "{\"step\":2,\"reward_mean\":0.5}\n");
  EXPECT_THAT(Ctl({"rollouts", "one", "--sort", "w"}).out,
              ::testing::StartsWith("== step 10  reward_hack  w 0.900\n  | def run_tests\n"));
  EXPECT_THAT(Ctl({"rollouts", "one", "--label", "correct"}).out, Not(HasSubstr("run_tests")));
  EXPECT_THAT(Ctl({"rollouts", "one", "--step", "2"}).out, HasSubstr("early"));
  const Result json = Ctl({"rollouts", "one", "--limit", "1", "--output", "json"});
  EXPECT_EQ(nlohmann::json::parse(json.out)["text"], "x");
  const Result missing = Ctl({"rollouts", "one", "--step", "3"});
  EXPECT_EQ(missing.exit_code, 4);
  EXPECT_THAT(missing.errors, HasSubstr("--step: 3, but the run has rollouts of steps 2 to 10"));
}

TEST_F(ShowVerbs, BadRolloutsAreDataLoss) {
  AddRun("A1", "one", "running");
  coordinator_.run_files["A1"]["rollouts/step-1.jsonl.zst"] = "no zstd";
  EXPECT_EQ(Ctl({"rollouts", "one"}).exit_code, 1);
}

TEST_F(ShowVerbs, WhatACoordinatorSaysReachesNoTerminalRaw) {
  const std::string clear = "\x1b[2J";
  RunSummary& run = AddRun("A" + clear, "one" + clear, "running");
  for (std::string* text : {&run.arm, &run.directory, &run.sweep, &run.error, &run.adapter_sha256, &run.config_sha256,
                            &run.model_fingerprint}) {
    *text += "x" + clear;
  }
  run.adapter_step = 1;
  coordinator_.AddEvent(run.run_id, "warning", {{"message", clear}});
  coordinator_.run_files[run.run_id]["config.yaml"] = "steps: 1\n";
  const std::string page = (folder_ / "page.html").string();
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"list"}, {"get", run.name}, {"events", run.name}, {"logs", run.name}, {"complete-runs"},
           {"complete-runs", "--kind", "sweeps"}, {"report", run.name, "--out", page}, {"rollouts", run.name},
           {"pause", run.name}, {"cancel", run.name}, {"retry", run.name, "--detach"}, {"get", run.name + "?"}}) {
    const Result result = Ctl(words);
    EXPECT_THAT(result.out + result.errors, Not(HasSubstr("\x1b"))) << words.front();
    EXPECT_THAT(result.out + result.errors, Not(IsEmpty())) << words.front();
  }
  coordinator_.tick = [](FakeCoordinator& c) { c.runs.back().state = "failed"; };
  const Result followed = Ctl({"logs", run.name, "-f"});
  EXPECT_THAT(followed.out + followed.errors, Not(HasSubstr("\x1b")));
  EXPECT_THAT(followed.errors, HasSubstr("\\x1b[2J"));
  coordinator_.down = absl::UnavailableError("refused" + clear);
  EXPECT_EQ(Ctl({"list"}).errors, "evilmoe-ctl: refused\\x1b[2J\n");
}

TEST_F(ShowVerbs, ARunIdThatLeavesItsFolderIsRefused) {
  const std::string outside = (folder_ / "outside").string();
  AddRun("../outside", "one", "running");
  AddRun(outside, "two", "running");
  coordinator_.run_files["../outside"]["config.yaml"] = coordinator_.run_files[outside]["config.yaml"] = "steps: 1\n";
  for (const char* name : {"one", "two"}) {
    const Result result = Ctl({"report", name, "--out", (folder_ / "page.html").string(), "--fetch-to",
                               (folder_ / "copy").string()});
    EXPECT_EQ(result.exit_code, 1) << result.errors;
    EXPECT_FALSE(std::filesystem::exists(outside));
  }
}

TEST_F(ShowVerbs, ListRunDirectoriesWithoutAnEndpoint) {
  const RunDirectory directory{folder_ / "runs" / "01ARYZ6S410000000000000000"};
  ASSERT_TRUE(directory.Create().ok());
  RunSummary run;
  run.run_id = "01ARYZ6S410000000000000000";
  run.name = "mine";
  run.state = "running";
  ASSERT_TRUE(directory.WriteSummary(run).ok());
  EXPECT_THAT(CtlAtHome({"list"}).out, HasSubstr("interrupted"));
  EXPECT_THAT(CtlAtHome({"list", "--state", "running"}).out, Not(HasSubstr("mine")));
  EXPECT_THAT(dialled_, IsEmpty());
}

TEST_F(ShowVerbs, TakeTheEndpointAndMoreFromCtlYaml) {
  std::filesystem::create_directories(folder_ / "config/evilmoe");
  const std::filesystem::path file = folder_ / "config/evilmoe/ctl.yaml";
  ASSERT_TRUE(WriteFileAtomic(file, "endpoint: host:7000\ntoken-file: token\noutput: json\n").ok());
  EXPECT_EQ(CtlAtHome({"list"}).out, "[]\n");
  ASSERT_THAT(dialled_, SizeIs(1));
  EXPECT_EQ(dialled_[0].address, "host:7000");
  EXPECT_EQ(dialled_[0].token_file, (folder_ / "config/evilmoe/token").string());
  CtlAtHome({"list", "--endpoint", ""});
  EXPECT_THAT(dialled_, SizeIs(1)) << "none, though the file names one";
  ASSERT_TRUE(WriteFileAtomic(file, "endpont: host:7000\n").ok());
  const Result bad = CtlAtHome({"list"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.errors, HasSubstr("ctl.yaml:1:1: endpont: unknown key, did you mean endpoint?"));
  EXPECT_EQ(CtlAtHome({"version"}).exit_code, 0) << "needs no ctl.yaml";
}

TEST_F(ShowVerbs, CompleteRunsTellsNamesAndIdsTheNewestFirst) {
  AddRun("A1", "one", "succeeded").sweep = "arms";
  AddRun("A2", "one", "running").sweep = "arms";
  EXPECT_EQ(Ctl({"complete-runs"}).out,
            "one\tevil_moe, running\nA2\tone, evil_moe, running\nA1\tone, evil_moe, succeeded\n");
  EXPECT_EQ(Ctl({"complete-runs", "--kind", "sweeps"}).out, "arms\tsweep\n");
  EXPECT_EQ(dialled_.back().patience, absl::Seconds(1));
  coordinator_.down = absl::UnavailableError("gone");
  const Result silent = Ctl({"complete-runs"});
  EXPECT_EQ(silent.out + silent.errors, "");
}

}  // namespace
}  // namespace evilmoe
