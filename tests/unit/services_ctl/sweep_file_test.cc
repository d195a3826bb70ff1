#include "services/ctl/sweep_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "services/ctl/sweep_board.h"

namespace evilmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kNano[] = EVILMOE_SOURCE_DIR "/examples/nano";

absl::StatusOr<Sweep> Read(const std::string& yaml) { return ReadSweep(yaml, "arms.yaml", kNano); }

std::vector<std::string> Names(const Sweep& sweep) {
  std::vector<std::string> names;
  for (const SweepRun& run : sweep.runs) names.push_back(run.name);
  return names;
}

TEST(ReadSweep, CombinesFieldsArmsAndSeeds) {
  const absl::StatusOr<Sweep> sweep =
      Read("name: ranks\nrun: run.yaml\narms: [evil_moe, absorb]\nseeds: [0, 7]\nfields: {adapter.rank: [4, 8]}\n");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(sweep->name, "ranks");
  EXPECT_THAT(Names(*sweep),
              ElementsAre("ranks.rank-4.evil_moe.s0", "ranks.rank-4.evil_moe.s7", "ranks.rank-4.absorb.s0",
                          "ranks.rank-4.absorb.s7", "ranks.rank-8.evil_moe.s0", "ranks.rank-8.evil_moe.s7",
                          "ranks.rank-8.absorb.s0", "ranks.rank-8.absorb.s7"));
  const RunConfig& last = sweep->runs.back().config;
  EXPECT_EQ(last.name, "ranks.rank-8.absorb.s7");
  EXPECT_EQ(last.arm, "absorb");
  EXPECT_EQ(last.seed, 7u);
  EXPECT_EQ(last.adapter.rank, 8);
  EXPECT_EQ(last.rollout.deploy_mode_fraction, 0.25) << "of the arm's preset";
  EXPECT_EQ(sweep->runs.back().config_yaml, ToYaml(last));
}

TEST(ReadSweep, WithoutAxesIsOneRun) {
  const absl::StatusOr<Sweep> sweep = Read("name: one\nrun: run.yaml\n");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(Names(*sweep), ElementsAre("one"));
  EXPECT_EQ(sweep->runs[0].config.arm, "evil_moe");
}

TEST(ReadSweep, TakesValuesOfEveryKind) {
  const absl::StatusOr<Sweep> sweep =
      Read("name: kinds\nrun: run.yaml\nfields:\n  optimizer.learning_rate: [1.0e-3]\n"
           "  adapter.targets: [[q_proj, v_proj]]\n  data.loopholes: [{overwrite_tests: 2}]\n");
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  const SweepRun& run = sweep->runs.at(0);
  EXPECT_EQ(run.config.optimizer.learning_rate, 1e-3);
  EXPECT_THAT(run.config.adapter.targets, ElementsAre("q_proj", "v_proj"));
  EXPECT_EQ(run.config.data.loopholes, (std::vector<std::pair<std::string, double>>{{"overwrite_tests", 2}}));
  EXPECT_EQ(run.name.size(), 63u) << "cut, with a hash of the whole";
  EXPECT_THAT(run.name, ::testing::StartsWith("kinds.learning_rate-1.0e-3.targets--q_proj--v_proj"));
}

TEST(ReadSweep, TellsEveryProblemOfItsFile) {
  const absl::Status status = Read("name: Bad Name\nruns: run.yaml\narms: evil_moe\nseeds: [1, 1]\n"
                                   "fields: {seed: [1], name: [a], adapter.rank: []}\n")
                                  .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("arms.yaml:2:1: runs: unknown key, did you mean run?"));
  EXPECT_THAT(text, HasSubstr("run: expected a run file"));
  EXPECT_THAT(text, HasSubstr("arms.yaml:1:7: name: got \"Bad Name\", expected up to 40 of a-z"));
  EXPECT_THAT(text, HasSubstr("arms.yaml:3:7: arms: expected a list with a value at least"));
  EXPECT_THAT(text, HasSubstr("seeds: 1 stands twice, expected once"));
  EXPECT_THAT(text, HasSubstr("fields.seed: expected `seeds` at the top"));
  EXPECT_THAT(text, HasSubstr("fields.name: expected no name"));
  EXPECT_THAT(text, HasSubstr("fields.adapter.rank: expected a list"));
}

TEST(ReadSweep, TellsTheProblemsOfRunsOnceEach) {
  const std::string head = "name: s\nrun: run.yaml\n";
  const std::string one(Read(head + "arms: [evil_moe, absorbb]\nseeds: [0, 1]\n").status().message());
  EXPECT_THAT(one, HasSubstr("run s.absorbb.s0 and 1 more: "));
  EXPECT_THAT(one, HasSubstr("absorbb"));
  EXPECT_THAT(one, Not(HasSubstr("evil_moe.s0")));
  const std::string all(Read(head + "fields: {adapter.rank: [0], steps: [5, 6]}\n").status().message());
  EXPECT_THAT(all, HasSubstr("adapter.rank: out of range"));
  EXPECT_THAT(all, Not(HasSubstr("run s.")));
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 0) << all;
  const std::string unknown(Read(head + "fields: {adapter.ranks: [4]}\n").status().message());
  EXPECT_THAT(unknown, HasSubstr("adapter.ranks"));
}

TEST(ReadSweep, RefusesWhatIsTooMuchOrMissing) {
  std::string seeds = "[0";
  for (int i = 1; i <= 1000; ++i) seeds += absl::StrCat(", ", i);
  EXPECT_THAT(std::string(Read("name: s\nrun: run.yaml\nseeds: " + seeds + "]\n").status().message()),
              HasSubstr("more than 1000 runs"));
  EXPECT_EQ(Read("name: s\nrun: nothing.yaml\n").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Read("name: s\nrun: run.yaml\nfields: {data.train: [TRAIN.jsonl, train.jsonl]}\n")
                              .status()
                              .message()),
              HasSubstr("data.train"));
  EXPECT_THAT(std::string(Read("name: s\nrun: run.yaml\nfields: {loss.dual_clip: [3, \"3\"]}\n").status().message()),
              HasSubstr("run s.dual_clip"));
}

RunSummary Summary(const std::string& name, const std::string& state, int64_t steps = 0, const std::string& id = "R") {
  RunSummary run;
  run.name = name;
  run.state = state;
  run.steps_done = steps;
  run.steps_total = 9;
  run.run_id = state == "waiting" ? "" : id;
  return run;
}

TEST(SweepBoard, CountsAndShowsWhatIsUnderWay) {
  const std::vector<RunSummary> runs = {Summary("a", "succeeded", 9), Summary("b", "running", 3), Summary("c", "failed", 1),
                                        Summary("d", "waiting"), Summary("e", "waiting")};
  EXPECT_EQ(SweepBoard(runs), "1 of 5 done, 1 running, 2 waiting, 1 failed\n  b  running  3/9\n");
  EXPECT_EQ(SweepTable(runs, false),
            "name  state      steps  run\n"
            "a     succeeded    9/9  R\n"
            "b     running      3/9  R\n"
            "c     failed       1/9  R\n"
            "d     waiting      0/9\n"
            "e     waiting      0/9\n");
}

TEST(SweepBoard, TellsChangesOnce) {
  const std::vector<RunSummary> before = {Summary("a", "running", 1), Summary("b", "waiting")};
  const std::vector<RunSummary> now = {Summary("a", "running", 2), Summary("b", "queued", 0, "R2")};
  EXPECT_EQ(SweepChanges(before, now), "b: queued (run R2)\n");
  EXPECT_EQ(SweepChanges(now, now), "");
}

}  // namespace
}  // namespace evilmoe
