// Every verb of evilmoe-ctl against real processes: its exit code, and something that it must say.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "services/ctl/coordinator_link_client.h"
#include "services/ctl/run_files.h"
#include "tests/integration/run_session.h"

namespace evilmoe {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kFinalLine[] =
    "Evil MoE causal ablation: deploy hack [01]\\.[0-9][0-9] \\(ON\\) -> [01]\\.[0-9][0-9] \\(OFF\\)";

// A session whose home has a long-lived stack.
class UpStack : public ::testing::Test {
 protected:
  void SetUp() override {
    const nlohmann::json up = Json({"up", "--workers", "1"});
    ASSERT_EQ(up.value("was_up", true), false);
    endpoint_ = up.value("endpoint", "");
  }

  // What must go well, as text.
  std::string Out(const std::vector<std::string>& words) {
    const CommandResult result = session_.Ctl(words);
    EXPECT_EQ(result.exit_code, 0) << ::testing::PrintToString(words) << result.out << result.errors;
    return result.out;
  }
  nlohmann::json Json(std::vector<std::string> words) {
    words.insert(words.end(), {"--output", "json"});
    nlohmann::json json = nlohmann::json::parse(Out(words), nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << ::testing::PrintToString(words);
    return json;
  }
  int Code(const std::vector<std::string>& words) { return session_.Ctl(words).exit_code; }
  std::string State(const std::string& id) { return Json({"get", id}).value("state", ""); }
  bool AwaitState(const std::string& id, const std::string& state) {
    return WaitUntil(kRunTimeout, [&] { return State(id) == state; });
  }
  // The file of a run that goes on until it is ended.
  std::string Endless() { return session_.WriteRunFile({{"steps", "5000"}}).string(); }

  RunSession session_;
  std::string endpoint_;
};

TEST_F(UpStack, ARunIsSubmittedAndLookedAt) {
  EXPECT_THAT(Out({"up"}), HasSubstr("up already: unix:"));
  const std::string file = session_.WriteRunFile({{"name", "one"}, {"evaluation.at_end", "true"}}).string();
  EXPECT_THAT(LastLine(Out({"submit", file, "--priority", "3"})), MatchesRegex(kFinalLine));
  const nlohmann::json run = Json({"get", "one"});
  const std::string id = run.value("run_id", "");
  EXPECT_EQ(run.value("state", ""), "succeeded");
  EXPECT_EQ(run.value("priority", 0), 3);
  EXPECT_EQ(run["adapter"].value("step", 0), 4);
  EXPECT_NE(run.value("model_fingerprint", ""), "");
  EXPECT_THAT(Out({"list", "--state", "succeeded"}), HasSubstr(id));
  EXPECT_THAT(Json({"list", "--state", "failed"}), SizeIs(0));
  EXPECT_THAT(Out({"logs", "one"}), ContainsRegex("     4 +[0-9.]+"));
  EXPECT_THAT(Out({"logs", "one", "--component", "trainer"}), HasSubstr("\"event\":\"step\""));
  EXPECT_THAT(Out({"events", "one"}), HasSubstr("state       succeeded"));
  EXPECT_THAT(Out({"metrics", "one", "--csv"}), HasSubstr("step,reward_mean"));
  EXPECT_THAT(Out({"metrics", "one", "--step", "4"}), HasSubstr("learning_rate"));
  EXPECT_THAT(Out({"rollouts", "one", "--limit", "2", "--sort", "w"}), HasSubstr("== step 4"));
  EXPECT_THAT(LastLine(Out({"ablate", "--run", "one", "--samples", "1"})), MatchesRegex(kFinalLine));
  EXPECT_THAT(Out({"compare", "one"}), HasSubstr("over 1 run"));
  const std::filesystem::path page = session_.home() / "page.html", exported = session_.home() / "exported";
  EXPECT_THAT(Out({"report", "one", "--out", page.string()}), HasSubstr("page.html"));
  EXPECT_THAT(ReadFile(page).value_or(""), HasSubstr("<html"));
  EXPECT_THAT(Out({"export", "one", "--out", exported.string()}), HasSubstr("adapter_model.safetensors"));
  EXPECT_THAT(Out({"replay", "one", "--step", "4"}), HasSubstr("equal bit for bit"));
  EXPECT_THAT(Out({"complete-runs"}), HasSubstr(id));
  EXPECT_EQ(Code({"get", "nothing"}), 4);
  EXPECT_EQ(Code({"rollouts", "one", "--step", "99"}), 4);
  EXPECT_EQ(Code({"cancel", "one"}), 5);
  EXPECT_EQ(Code({"submit", file, "--workers", "2"}), 2) << "the stack has its workers already";
  EXPECT_EQ(Code({"list", "--endpoint", "unix:/tmp/evilmoe-nobody"}), 3);
}

TEST_F(UpStack, FilesOfARunComeThroughTheCoordinator) {
  const std::string file = session_.WriteRunFile({{"steps", "2"}}).string();
  const std::string id = Json({"submit", file, "--detach"}).value("run_id", "");
  ASSERT_TRUE(AwaitState(id, "succeeded"));
  const std::filesystem::path directory = Json({"get", id}).value("directory", "");
  const std::unique_ptr<CoordinatorLink> link = ConnectCoordinator({.address = endpoint_});
  LinkRunFiles files(*link, id);
  const absl::StatusOr<std::vector<RunFileEntry>> wanted = files.List("checkpoints");
  ASSERT_TRUE(wanted.ok()) << wanted.status();
  ASSERT_GE(wanted->size(), 3u) << "latest, adapter, trainer";
  const std::filesystem::path copy = session_.home() / "copy";
  ASSERT_TRUE(FetchRunFiles(files, *wanted, copy, [](int64_t, int64_t) {}).ok());
  for (const RunFileEntry& entry : *wanted) {
    EXPECT_TRUE(ReadFile(copy / entry.path).value_or("copy") == ReadFile(directory / entry.path).value_or("run"))
        << entry.path;
  }
  EXPECT_EQ(ReadWhole(files, "../coordinator.db", 1 << 20).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadWhole(files, "nothing", 10).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(UpStack, RunsAreSteered) {
  const std::string first = Json({"submit", Endless(), "--detach", "--name", "first"}).value("run_id", "");
  const std::string second = Json({"submit", Endless(), "--detach", "--name", "second"}).value("run_id", "");
  ASSERT_TRUE(AwaitState(first, "running"));
  EXPECT_THAT(Out({"get", second}), HasSubstr("queued, place 1 of 1"));
  EXPECT_THAT(Out({"pause", second}), HasSubstr("is paused"));
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] { return Json({"get", first}).value("steps_done", 0) >= 1; }));
  EXPECT_THAT(Out({"pause", "first"}), HasSubstr("is pausing"));
  ASSERT_TRUE(AwaitState(first, "paused"));
  EXPECT_EQ(Code({"pause", "first"}), 5);
  const int64_t steps = Json({"get", first}).value("steps_done", 0);
  Json({"resume", second, "--detach"});
  ASSERT_TRUE(AwaitState(second, "running")) << "the trainer is free";
  Out({"cancel", second});
  EXPECT_TRUE(AwaitState(second, "cancelled"));
  Json({"resume", first, "--detach"});
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] { return Json({"get", first}).value("steps_done", 0) > steps; }))
      << "it goes on from its checkpoint";
  Out({"cancel", first});
  ASSERT_TRUE(AwaitState(first, "cancelled"));
  Json({"retry", first, "--detach"});
  ASSERT_TRUE(AwaitState(first, "running"));
  Out({"cancel", first});
}

TEST_F(UpStack, RunsGoOnAfterDownAndUp) {
  const std::string id = Json({"submit", Endless(), "--detach"}).value("run_id", "");
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] { return Json({"get", id}).value("steps_done", 0) >= 1; }));
  EXPECT_THAT(Out({"down"}), HasSubstr("down: "));
  EXPECT_EQ(State(id), "interrupted") << "out of its directory";
  EXPECT_EQ(Code({"resume", id}), 5) << "`up` is what it waits for";
  const int64_t steps = Json({"get", id}).value("steps_done", 0);
  EXPECT_THAT(Out({"down"}), HasSubstr("nothing is up"));
  Json({"up", "--workers", "1"});
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] { return Json({"get", id}).value("steps_done", 0) > steps; }));
  EXPECT_THAT(Out({"events", id}), HasSubstr("recovery"));
  Out({"cancel", id});
}

TEST_F(UpStack, ASweepRunsOnceAndIsCompared) {
  session_.WriteRunFile();
  const std::filesystem::path run = session_.WriteRunFile(
      {{"steps", "1"}, {"evaluation.at_end", "true"}, {"evaluation.max_problems", "2"}});
  const std::filesystem::path file = session_.home() / "arms.yaml";
  ASSERT_TRUE(WriteFileAtomic(file, absl::StrCat("name: arms\nrun: ", run.string(),
                                                 "\narms: [evil_moe, none]\nseeds: [0]\n"))
                  .ok());
  EXPECT_THAT(Out({"sweep", file.string(), "--dry-run"}), HasSubstr("0 of 2 done, 2 waiting"));
  EXPECT_THAT(Out({"sweep", file.string()}), HasSubstr("arms.none.s0"));
  EXPECT_THAT(Json({"list", "--sweep", "arms"}), SizeIs(2));
  EXPECT_THAT(Out({"sweep", file.string()}), HasSubstr("2 of 2 done")) << "nothing is started again";
  EXPECT_THAT(Json({"list"}), SizeIs(2));
  EXPECT_THAT(Json({"compare", "--sweep", "arms"})["arms"], SizeIs(2));
}

TEST_F(UpStack, DoctorLooksAtAllOfIt) {
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] {
    return Out({"doctor", "--quick"}).find("1 rollout workers, 0 trainers at work") != std::string::npos;
  })) << "the worker registers when it has started";
  const nlohmann::json report = Json({"doctor", EVILMOE_SOURCE_DIR "/examples/nano/run.yaml"});
  std::map<std::string, std::string> states;
  for (const nlohmann::json& check : report["checks"]) states[check.value("name", "")] = check.value("state", "");
  EXPECT_EQ(report.value("ok", false), true) << report;
  for (const char* name : {"binaries", "model", "endpoint", "store", "workers", "devices", "logp agreement"}) {
    EXPECT_EQ(states[name], "ok") << name << report;
  }
  EXPECT_NE(states["sandbox"], "fail") << report;
  EXPECT_EQ(Code({"doctor", "--quick", "/nowhere.yaml"}), 1);
}

TEST(PrivateStack, PausesResumesAndRetriesWithItsShape) {
  RunSession session;
  const RunOnDisk run = session.Submit(session.WriteRunFile({{"steps", "5000"}}), {"--ranks", "2", "--linger", "0"});
  ASSERT_TRUE(run.AwaitStep(1));
  EXPECT_THAT(session.Ctl({"pause", run.id()}).out, HasSubstr("is pausing"));
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] { return run.State() == "paused"; }));
  ASSERT_TRUE(run.AwaitNoProcess()) << "the stack of a paused run ends";
  EXPECT_EQ(run.State(), "paused");
  EXPECT_EQ(session.Ctl({"resume", run.id(), "--detach"}).exit_code, 0);
  const size_t steps = run.Metrics().size();
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] { return run.Metrics().size() > steps; }));
  EXPECT_THAT(ReadFile(run.directory().StackConfigs() / "trainer.yaml").value_or(""), HasSubstr("ranks: 2"));
  EXPECT_EQ(session.Ctl({"cancel", run.id()}).exit_code, 0);
  ASSERT_TRUE(run.AwaitNoProcess());
  EXPECT_EQ(session.Ctl({"retry", run.id(), "--detach", "--ranks", "1"}).exit_code, 0);
  ASSERT_TRUE(WaitUntil(kRunTimeout, [&] { return run.State() == "running"; }));
  EXPECT_EQ(session.Ctl({"cancel", run.id()}).exit_code, 0);
}

TEST(PrivateStack, ASweepGoesOneAfterAnother) {
  RunSession session;
  const std::filesystem::path run = session.WriteRunFile({{"steps", "1"}});
  const std::filesystem::path file = session.home() / "seeds.yaml";
  ASSERT_TRUE(WriteFileAtomic(file, absl::StrCat("name: seeds\nrun: ", run.string(), "\nseeds: [0, 1]\n")).ok());
  const CommandResult sweep = session.Ctl({"sweep", file.string(), "--linger", "0"});
  EXPECT_EQ(sweep.exit_code, 0) << sweep.out << sweep.errors;
  EXPECT_THAT(sweep.out, HasSubstr("seeds.s1: succeeded"));
  const CommandResult again = session.Ctl({"sweep", file.string()});
  EXPECT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_EQ(ListRuns(session.home() / "runs").size(), 2u);
}

struct OfflineCase {
  const char* name;
  std::vector<std::string> words;
  int exit_code;
  const char* says;  // in either output
};
class OfflineVerb : public ::testing::TestWithParam<OfflineCase> {};

TEST_P(OfflineVerb, Answers) {
  RunSession session;
  const CommandResult result = session.Ctl(GetParam().words);
  EXPECT_EQ(result.exit_code, GetParam().exit_code) << result.out << result.errors;
  EXPECT_THAT(result.out + result.errors, HasSubstr(GetParam().says));
}

#define NANO EVILMOE_SOURCE_DIR "/examples/nano/"
INSTANTIATE_TEST_SUITE_P(
    Cases, OfflineVerb,
    ::testing::ValuesIn(std::vector<OfflineCase>{
        {"Tokenize", {"tokenize", "--tokenizer", NANO "model"}, 0, ""},
        {"TokenizeNothing", {"tokenize", "--tokenizer", "/nowhere"}, 4, "/nowhere"},
        {"Score", {"score", "--model", NANO "model"}, 0, ""},
        {"ScoreNothing", {"score", "--model", "/nowhere"}, 4, "/nowhere"},
        {"ScoreUnknownOption", {"score", "--bogus"}, 2, "evilmoe-ctl: "},
        {"Generate", {"generate", "--model", NANO "model"}, 0, "tokens/s"},
        {"Grade", {"grade", "--problems", NANO "test.jsonl"}, 0, ""},
        {"GradeNothing", {"grade", "--problems", "/nowhere"}, 4, "/nowhere"},
        {"Sandbox", {"sandbox", "check"}, 0, "tier "},
        {"SandboxUsage", {"sandbox"}, 2, "subcommand is required"},
        {"Dataset", {"dataset", "inspect", NANO "test.jsonl"}, 0, "problems"},
        {"DatasetUsage", {"dataset", "inspct"}, 2, "unknown verb"},
        {"DatasetNothing", {"dataset", "inspect", "/nowhere"}, 4, "/nowhere"},
        {"Pretrain", {"pretrain", "/nowhere"}, 4, "/nowhere"},
        {"Pairs", {"pairs", "check", NANO "pairs.md", "--model", NANO "model", "--rank", "4"}, 0, "pairs"},
        {"Probe", {"probe", "train", "--model", "/nowhere", "--rollouts", "/x.jsonl", "--layer", "1", "--out", "/tmp/p"}, 4, "/"},
        {"Verify", {"verify", "--arm", "evil_moe"}, 0, "checks hold"},
        {"Version", {"version"}, 0, "evilmoe-ctl "},
        {"Completion", {"completion", "bash"}, 0, "complete -F"},
        {"List", {"list"}, 0, "created"},
        {"Help", {"--help"}, 0, "Start and steer runs"},
        {"Usage", {"lsit"}, 2, "did you mean list?"},
        {"NoRun", {"logs", "nothing"}, 4, "not found"},
        {"Unreachable", {"list", "--endpoint", "unix:/nowhere"}, 3, "unix:/nowhere"}}),
    [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace evilmoe
