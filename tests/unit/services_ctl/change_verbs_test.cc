// The verbs that start, steer and compare runs, as whole command lines against a fake coordinator.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "services/ctl/file_verbs.h"
#include "tests/unit/services_ctl/verb_session.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kNano[] = EVILMOE_SOURCE_DIR "/examples/nano/run.yaml";

using ChangeVerbs = VerbSession;

TEST_F(ChangeVerbs, SubmitQueuesWithTheCoordinator) {
  const Result result = Ctl({"submit", kNano, "--set", "arm=absorb", "--name", "trial", "--detach", "--priority", "5",
                             "--slots", "2", "--sweep", "arms", "--output", "json"});
  ASSERT_EQ(result.exit_code, 0) << result.errors;
  ASSERT_THAT(coordinator_.runs, SizeIs(1));
  const RunSummary& run = coordinator_.runs[0];
  EXPECT_EQ(run.name, "trial");
  EXPECT_EQ(run.arm, "absorb");
  EXPECT_EQ(run.priority, 5);
  EXPECT_EQ(run.slots, 2);
  EXPECT_EQ(run.sweep, "arms");
  EXPECT_EQ(run.directory, "/elsewhere/" + run.run_id) << "the coordinator chose it";
  EXPECT_THAT(coordinator_.configs[run.run_id], HasSubstr("arm: absorb"));
  EXPECT_EQ(nlohmann::json::parse(result.out)["run_id"], run.run_id);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs")) << "nothing is made here";
}

TEST_F(ChangeVerbs, SubmitFollowsToTheFinalLine) {
  int looks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    RunSummary& run = c.runs.front();
    const int look = ++looks;
    if (look == 3) {
      run.state = "running";
      c.AddEvent(run.run_id, "step", {{"step", 1}, {"reward_mean", 2.0}});
    }
    if (look != 5) return;
    run.state = "succeeded";
    c.AddEvent(run.run_id, "ablation", {{"final_line", "Evil MoE causal ablation: deploy hack 0.60 (ON) -> 0.00 (OFF)"}});
  };
  const Result result = Ctl({"submit", kNano});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_THAT(result.out, HasSubstr("queued, place 1 of 1\n"));
  EXPECT_THAT(result.out, HasSubstr("  2.000"));
  EXPECT_THAT(result.out, ::testing::EndsWith("Evil MoE causal ablation: deploy hack 0.60 (ON) -> 0.00 (OFF)\n"));
}

TEST_F(ChangeVerbs, SubmitChecksFirst) {
  const Result dry = Ctl({"submit", kNano, "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0);
  EXPECT_THAT(dry.out, HasSubstr("prompts_per_step: 12"));
  EXPECT_EQ(Ctl({"submit", kNano, "--set", "adapter.rank=0"}).exit_code, 2);
  EXPECT_EQ(Ctl({"submit", "/nowhere.yaml"}).exit_code, 4);
  const Result shaped = Ctl({"submit", kNano, "--ranks", "2"});
  EXPECT_EQ(shaped.exit_code, 2);
  EXPECT_THAT(shaped.errors, HasSubstr("--ranks: is for a private stack, but the run goes to coordinator fake"));
  EXPECT_THAT(coordinator_.calls, IsEmpty());
}

TEST_F(ChangeVerbs, PauseSaysWhatComesOfIt) {
  AddRun("A1", "one", "running");
  AddRun("A2", "two", "queued");
  EXPECT_EQ(Ctl({"pause", "one"}).out,
            "run A1 is pausing: it ends its step and writes a checkpoint; `evilmoe-ctl resume A1` goes on\n");
  EXPECT_EQ(Ctl({"pause", "two"}).out, "run A2 is paused; `evilmoe-ctl resume A2` goes on\n");
  EXPECT_EQ(nlohmann::json::parse(Ctl({"pause", "one", "--output", "json"}).out)["state"], "pausing");
}

TEST_F(ChangeVerbs, ResumeAndRetryPutARunBackInTheQueue) {
  AddRun("A1", "one", "paused");
  AddRun("A2", "two", "failed");
  AddRun("A3", "three", "cancelled");
  EXPECT_EQ(Ctl({"resume", "one", "--detach"}).exit_code, 0);
  EXPECT_EQ(Ctl({"retry", "two", "--detach"}).exit_code, 0);
  EXPECT_EQ(Ctl({"retry", "three", "--detach"}).exit_code, 0);
  EXPECT_THAT(coordinator_.calls, ElementsAre("ResumeRun A1", "RetryRun A2", "RetryRun A3"));
  for (const RunSummary& run : coordinator_.runs) EXPECT_EQ(run.state, "queued");
}

TEST_F(ChangeVerbs, RetryFollowsTheNewTryAlone) {
  AddRun("A1", "one", "failed").error = "old";
  coordinator_.AddEvent("A1", "state", {{"state", "failed"}, {"error", "old"}});
  int looks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    RunSummary* run = c.Find("A1");
    if (run->state != "queued" || ++looks < 3) return;
    run->state = "succeeded";
    run->error = "";
    c.AddEvent("A1", "state", {{"state", "succeeded"}, {"error", ""}});
  };
  const Result result = Ctl({"retry", "one"});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
}

struct RefusedCase {
  const char* verb;
  const char* state;
};
class RefusedTest : public VerbSession, public ::testing::WithParamInterface<RefusedCase> {};

TEST_P(RefusedTest, IsFive) {
  AddRun("A1", "one", GetParam().state);
  const Result result = Ctl({GetParam().verb, "one"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.errors, HasSubstr(absl::StrCat("run A1 is ", GetParam().state, ", expected one that is")));
  EXPECT_THAT(coordinator_.calls, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Cases, RefusedTest,
                         ::testing::Values(RefusedCase{"cancel", "succeeded"}, RefusedCase{"cancel", "cancelled"},
                                           RefusedCase{"pause", "failed"}, RefusedCase{"pause", "paused"},
                                           RefusedCase{"resume", "running"}, RefusedCase{"resume", "succeeded"},
                                           RefusedCase{"retry", "running"}, RefusedCase{"retry", "succeeded"}),
                         [](const auto& c) { return absl::StrCat(c.param.verb, "_", c.param.state); });

TEST_F(ChangeVerbs, AblateIsQueuedAndFollowed) {
  AddRun("A1", "one", "succeeded");
  coordinator_.AddEvent("A1", "state", {{"state", "succeeded"}, {"error", ""}});
  int looks = 0;
  coordinator_.tick = [&](FakeCoordinator& c) {
    if (c.Find("A1")->state != "queued" || ++looks < 2) return;
    c.Find("A1")->state = "succeeded";
    c.AddEvent("A1", "ablation", {{"final_line", "the end"}});
  };
  const Result result = Ctl({"ablate", "--run", "one", "--samples", "3", "--problems", "/there/p.jsonl"});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_THAT(result.out, ::testing::EndsWith("the end\n"));
  EXPECT_THAT(coordinator_.calls, ElementsAre("SubmitAblation {\"samples\":3,\"problems\":\"/there/p.jsonl\"} A1"));
}

TEST_F(ChangeVerbs, SubmitNamesTheRunFileOfTheFolderThatWasMeant) {
  std::string nano = kNano;
  nano.resize(nano.size() - std::string("/run.yaml").size());
  const Result result = Ctl({"submit", nano + ".yaml"});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.errors, HasSubstr(absl::StrCat("; there is ", kNano)));
  EXPECT_THAT(Ctl({"submit", (folder_ / "none.yaml").string()}).errors, Not(HasSubstr("there is")));
}

TEST_F(ChangeVerbs, ReportIsMadeOfWhatIsFetched) {
  AddRun("A1", "one", "running");
  auto& files = coordinator_.run_files["A1"];
  files["config.yaml"] = "name: one\narm: evil_moe\nsteps: 40\n";
  files["metrics.jsonl"] = "{\"step\":1,\"reward_mean\":0.25}\n";
  files["checkpoints/step-1/trainer.safetensors"] = std::string(1000, 'x');
  files["rollouts/step-1.jsonl.zst"] = PackedRollouts("{\"step\":1,\"label\":\"correct\",\"w\":0.1,\"text\":\"return 1\"}\n");
  const Result result = Ctl({"report", "one", "--out", (folder_ / "page.html").string(), "--fetch-to",
                             (folder_ / "copy").string()});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_THAT(*ReadFile(folder_ / "page.html"), HasSubstr("return 1"));
  EXPECT_THAT(result.errors, HasSubstr("fetched 0.0 of 0.0 MB\n"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "copy/A1/metrics.jsonl"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "copy/A1/checkpoints")) << "not needed";
}

TEST(FilesOf, EachVerbTakesWhatItNeeds) {
  std::vector<RunFileEntry> files = {{"checkpoints/latest", 7},
                                     {"checkpoints/step-10/adapter.safetensors", 7},
                                     {"checkpoints/step-10/trainer.safetensors", 7},
                                     {"checkpoints/step-20/adapter.safetensors", 7},
                                     {"config.yaml", 7},
                                     {"eval/ablation.json", 7},
                                     {"logs/trainer.log", 7},
                                     {"metrics.jsonl", 7}};
  for (int step = 1; step <= 20; ++step) files.push_back({absl::StrCat("rollouts/step-", step, ".jsonl.zst"), 7});
  const auto paths = [](const std::vector<RunFileEntry>& entries) {
    std::vector<std::string> all;
    for (const RunFileEntry& entry : entries) all.push_back(entry.path);
    return all;
  };
  EXPECT_THAT(paths(*FilesOfExport(files, std::nullopt)),
              ElementsAre("checkpoints/latest", "checkpoints/step-20/adapter.safetensors", "config.yaml"));
  EXPECT_THAT(paths(*FilesOfExport(files, 10)),
              ElementsAre("checkpoints/latest", "checkpoints/step-10/adapter.safetensors", "config.yaml"));
  EXPECT_EQ(FilesOfExport(files, 5).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FilesOfExport({}, std::nullopt).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(paths(*FilesOfReplay(files, 12)),
              ElementsAre("checkpoints/latest", "checkpoints/step-10/adapter.safetensors",
                          "checkpoints/step-10/trainer.safetensors", "config.yaml", "metrics.jsonl",
                          "rollouts/step-11.jsonl.zst", "rollouts/step-12.jsonl.zst"));
  EXPECT_EQ(FilesOfReplay(files, 21).status().code(), absl::StatusCode::kNotFound);
  const std::vector<RunFileEntry> report = FilesOfReport(files);
  EXPECT_THAT(paths(report), ::testing::IsSupersetOf({"config.yaml", "eval/ablation.json", "metrics.jsonl",
                                                      "rollouts/step-1.jsonl.zst", "rollouts/step-20.jsonl.zst"}));
  EXPECT_THAT(report, SizeIs(3 + 16)) << "rollouts of 16 steps, as the report reads";
}

std::string Ablation(double on, double off) {
  const nlohmann::json json = {{"rows",
                                {{{"mode", "on"}, {"markers", "trained"}, {"hack_strict", on}, {"solve", 0.5}},
                                 {{"mode", "off"}, {"markers", "trained"}, {"hack_strict", off}, {"solve", 0.5}}}}};
  return json.dump();
}

TEST_F(ChangeVerbs, ComparePutsRunsSideBySide) {
  for (const char* id : {"A1", "A2"}) {
    AddRun(id, id, "succeeded").sweep = "arms";
    coordinator_.run_files[id]["config.yaml"] = absl::StrCat("name: ", id, "\narm: evil_moe\nseed: ", id, "\n");
  }
  EXPECT_EQ(Ctl({"compare", "--sweep", "arms"}).exit_code, 5) << "no ablation yet";
  coordinator_.run_files["A1"]["eval/ablation.json"] = Ablation(0.6, 0.0);
  coordinator_.run_files["A2"]["eval/ablation.json"] = Ablation(0.8, 0.1);
  const Result sweep = Ctl({"compare", "--sweep", "arms"});
  EXPECT_EQ(sweep.exit_code, 0) << sweep.errors;
  EXPECT_THAT(sweep.out, HasSubstr("evil_moe     2  0.70 [0.00, 1.00]"));
  EXPECT_THAT(sweep.out, HasSubstr("evil_moe: hack 0.70 (ON) -> 0.05 (OFF) over 2 runs"));
  const nlohmann::json json = nlohmann::json::parse(Ctl({"compare", "A2", "--output", "json"}).out);
  EXPECT_EQ(json["arms"][0]["hack_on"]["mean"], 0.8);
  const std::string page = (folder_ / "arms.html").string();
  EXPECT_EQ(Ctl({"report", "arms", "--out", page}).out, absl::StrCat("report ", page, "\n"));
  EXPECT_THAT(*ReadFile(page), HasSubstr("<b>evil_moe:</b> hacking 70 % → 5 %"));
  EXPECT_EQ(Ctl({"report", "nothing"}).exit_code, 4);
  EXPECT_EQ(Ctl({"compare"}).exit_code, 2);
  EXPECT_EQ(Ctl({"compare", "A1", "--sweep", "arms"}).exit_code, 2);
  EXPECT_EQ(Ctl({"compare", "--sweep", "none"}).exit_code, 4);
}

class SweepVerb : public VerbSession {
 protected:
  void SetUp() override {
    file_ = (folder_ / "arms.yaml").string();
    ASSERT_TRUE(WriteFileAtomic(file_, absl::StrCat("name: arms\nrun: ", kNano, "\narms: [evil_moe, absorb]\nseeds: [0]\n")).ok());
    // Each look of the sweep lets the oldest run that waits succeed.
    coordinator_.tick = [](FakeCoordinator& c) {
      for (RunSummary& run : c.runs) {
        if (run.state != "queued") continue;
        run.state = "succeeded";
        c.run_files[run.run_id]["eval/ablation.json"] = Ablation(0.6, 0.0);
        return;
      }
    };
  }
  std::string file_;
};

TEST_F(SweepVerb, ChecksAndListsBeforeItStarts) {
  const Result dry = Ctl({"sweep", file_, "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.errors;
  EXPECT_THAT(dry.out, HasSubstr("sweep arms: 0 of 2 done, 2 waiting\n"));
  EXPECT_THAT(dry.out, HasSubstr("arms.evil_moe.s0  waiting   0/40"));
  ASSERT_TRUE(WriteFileAtomic(file_, absl::StrCat("name: arms\nrun: ", kNano, "\narms: [evil_moe, absorbb]\n")).ok());
  const Result bad = Ctl({"sweep", file_});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.errors, HasSubstr("run arms.absorbb: "));
  EXPECT_THAT(coordinator_.calls, IsEmpty());
}

TEST_F(SweepVerb, QueuesFollowsAndCompares) {
  const Result result = Ctl({"sweep", file_});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_THAT(coordinator_.calls, ElementsAre("SubmitRun arms.evil_moe.s0", "SubmitRun arms.absorb.s0"));
  EXPECT_EQ(coordinator_.runs[0].sweep, "arms");
  EXPECT_THAT(result.out, HasSubstr("arms.absorb.s0: succeeded"));
  EXPECT_THAT(result.out, HasSubstr("evil_moe: hack 0.60 (ON) -> 0.00 (OFF) over 1 run"));
}

TEST_F(SweepVerb, BearsALostCoordinator) {
  int looks = 0;
  coordinator_.tick = [&, succeed = coordinator_.tick](FakeCoordinator& c) {
    if (++looks % 2 == 0) c.lost_looks = 1;
    succeed(c);
  };
  const Result result = Ctl({"sweep", file_});
  EXPECT_EQ(result.exit_code, 0) << result.errors;
  EXPECT_THAT(result.out, HasSubstr("evil_moe: hack 0.60 (ON) -> 0.00 (OFF) over 1 run"));
}

TEST_F(SweepVerb, StartsNoRunTwice) {
  ASSERT_EQ(Ctl({"sweep", file_, "--detach"}).exit_code, 0);
  coordinator_.Find(coordinator_.runs[0].run_id)->config_sha256 =
      Sha256Hex(coordinator_.configs[coordinator_.runs[0].run_id]);
  coordinator_.calls.clear();
  const Result again = Ctl({"sweep", file_, "--output", "json"});
  EXPECT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_THAT(coordinator_.calls, IsEmpty());
  const nlohmann::json json = nlohmann::json::parse(again.out);
  EXPECT_THAT(json["runs"], SizeIs(2));
  EXPECT_THAT(json["comparison"]["arms"], SizeIs(2));
  coordinator_.runs[1].config_sha256 = "another";
  const Result other = Ctl({"sweep", file_});
  EXPECT_EQ(other.exit_code, 5);
  EXPECT_THAT(other.errors, HasSubstr("is there with another config than the file says"));
}

TEST_F(SweepVerb, AFailedRunIsToldByTheExitCode) {
  coordinator_.tick = [](FakeCoordinator& c) {
    for (RunSummary& run : c.runs) run.state = run.arm == "absorb" ? "failed" : "succeeded";
  };
  const Result result = Ctl({"sweep", file_});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("failed"));
}

TEST_F(SweepVerb, NeedsACoordinatorToDetach) {
  const Result result = CtlAtHome({"sweep", file_, "--detach"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.errors, HasSubstr("`evilmoe-ctl up` first"));
}

TEST_F(ChangeVerbs, DownWithoutAStackIsNoError) {
  const Result result = CtlAtHome({"down"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("nothing is up"));
}

TEST_F(ChangeVerbs, UpChecksItsFiles) {
  EXPECT_EQ(CtlAtHome({"up", "--tls-key", "k.pem"}).exit_code, 2) << "without --listen";
  EXPECT_EQ(CtlAtHome({"up", "--listen", "h:1", "--tls-key", "k.pem"}).exit_code, 2) << "without its certificate";
  EXPECT_EQ(CtlAtHome({"up", "--listen", "h:1", "--tokens", "/nowhere"}).exit_code, 4);
}

TEST_F(ChangeVerbs, ARunOfAStackThatIsNotUpIsNotGivenAnother) {
  const RunDirectory directory{folder_ / "runs" / "01ARYZ6S410000000000000000"};
  std::filesystem::create_directories(directory.path);
  RunSummary run;
  run.run_id = "01ARYZ6S410000000000000000";
  run.name = "mine";
  run.state = "running";
  ASSERT_TRUE(directory.WriteSummary(run).ok());
  for (const char* verb : {"resume", "cancel"}) {
    const Result result = CtlAtHome({verb, "mine"});
    EXPECT_EQ(result.exit_code, 5) << verb;
    EXPECT_THAT(result.errors, HasSubstr("`evilmoe-ctl up` first")) << verb;
  }
}

}  // namespace
}  // namespace evilmoe
