// A run is disturbed wherever it can be, at times that a seed draws, and must not be told from one that was left alone.
// EVILMOE_CHAOS_SEEDS=1-50 tries others than the few of every day; each prints what it does as it does it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/hash.h"
#include "services/ctl/coordinator_link_client.h"
#include "services/ctl/stack_resources.h"
#include "tests/integration/breaking_proxy.h"
#include "tests/integration/chaos_schedule.h"
#include "tests/integration/local_cluster.h"
#include "tests/integration/run_session.h"
#include "trainer/run_file.h"

namespace evilmoe {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::Not;
using ::testing::SizeIs;

constexpr int kSteps = 8;
constexpr int kNumDisturbances = 12;
constexpr char kEverydaySeeds[] = "1-3,12";
// The same for every run: the bytes of an adapter name the run that they come from.
constexpr char kRunId[] = "chaos";

// What is left of a run, without the times that it took.
struct Remains {
  std::string state, error;
  std::string checkpoint;                          // sha256 of the last one's adapter
  std::string published;                           // of the adapter that the coordinator has as the newest
  std::vector<std::string> metrics;                // a line a step
  std::vector<std::vector<std::string>> rollouts;  // of each step, a line a sample
  std::vector<int64_t> steps_told;                 // by events
};

std::string WithoutTimes(nlohmann::json line) {
  for (auto it = line.begin(); it != line.end();) {
    const bool time = absl::EndsWith(it.key(), "_seconds") || it.key() == "tokens_per_second";
    it = time ? line.erase(it) : std::next(it);
  }
  return line.dump();
}

Remains ReadRemains(const RunOnDisk& run) {
  Remains remains;
  const absl::StatusOr<RunSummary> summary = run.directory().ReadSummary();
  EXPECT_TRUE(summary.ok()) << summary.status();
  if (!summary.ok()) return remains;
  remains.state = summary->state;
  remains.error = summary->error;
  remains.published = summary->adapter_sha256;
  const std::filesystem::path last = run.directory().path / absl::StrCat("checkpoints/step-", kSteps);
  remains.checkpoint = Sha256Hex(ReadFile(last / "adapter.safetensors").value_or(""));
  for (const nlohmann::json& line : run.Metrics()) {
    EXPECT_EQ(line.value("masked_samples", -1), 0) << line;
    remains.metrics.push_back(WithoutTimes(line));
  }
  for (int64_t step = 1; step <= kSteps; ++step) {
    std::vector<std::string> lines;
    for (const nlohmann::json& sample : run.Rollouts(step)) lines.push_back(WithoutTimes(sample));
    remains.rollouts.push_back(std::move(lines));
  }
  for (const RunEventView& event : run.Events("step")) remains.steps_told.push_back(event.payload.value("step", int64_t{0}));
  return remains;
}

// The beginning of a disturbance, or its end.
struct Deed {
  absl::Duration at;
  const Disturbance* disturbance;
  bool begins;
};

std::vector<Deed> DeedsOf(const std::vector<Disturbance>& schedule) {
  std::vector<Deed> deeds;
  for (const Disturbance& disturbance : schedule) {
    deeds.push_back({disturbance.at, &disturbance, true});
    if (disturbance.length > absl::ZeroDuration()) {
      deeds.push_back({disturbance.at + disturbance.length, &disturbance, false});
    }
  }
  std::ranges::stable_sort(deeds, {}, &Deed::at);
  return deeds;
}

// A coordinator, a grader, two rollout workers and a trainer, which reach the first two through proxies.
class ChaosRun {
 public:
  explicit ChaosRun(int ranks) : folder_(TemporaryFolder::Make().value()), cluster_(MakeFolder(session_.home() / "cluster")) {
    const std::string common = absl::StrCat("coordinator: ", Socket("coordinator.proxy"), "\n");
    // A worker may be stopped for longer than a lease lasts, a trainer never for longer than it is waited for.
    cluster_.Start("coordinator", "evilmoe-coordinator",
                   absl::StrCat("listen: ", Socket("coordinator"), "\ndatabase: ", (session_.home() / "store.db").string(),
                                "\nruns: ", (session_.home() / "runs").string(), "\nlease_timeout_s: 2\n"));
    cluster_.Start("grader", "evilmoe-grader", absl::StrCat("listen: ", Socket("grader"), "\nslots: 2\n"));
    for (const char* server : {"coordinator", "grader"}) {
      proxies_[server] = std::make_unique<BreakingProxy>(Path(absl::StrCat(server, ".proxy")), Path(server));
      cluster_.AwaitReady(server);
    }
    for (const char* name : {"rollout-0", "rollout-1"}) {
      cluster_.Start(name, "evilmoe-rollout",
                     absl::StrCat(common, "grader: ", Socket("grader.proxy"), "\nworker_id: ", name, "\nthreads: 1\n"));
    }
    cluster_.Start("trainer", "evilmoe-trainer",
                   absl::StrCat(common, "trainer_id: trainer\nranks: ", ranks, "\nthreads: 1\n"));
    targets_ = {.processes = {"coordinator", "grader", "rollout-0", "rollout-1", "trainer"},
                .proxies = {"coordinator", "grader"}};
    for (int rank = 0; ranks > 1 && rank < ranks; ++rank) targets_.processes.push_back(absl::StrCat("rank-", rank));
  }

  // Disturbs as the schedule says until the run is at its end. Returns what is left of it.
  Remains Run(uint64_t seed, int num_disturbances) {
    const absl::Time submitted = absl::Now();
    const RunOnDisk run = Submit();
    Say(absl::StrCat("seed ", seed, ": run submitted"));
    const std::vector<Disturbance> schedule = MakeSchedule(seed, num_disturbances, targets_);
    const std::vector<Deed> deeds = DeedsOf(schedule);
    // Half of them while everything is only just starting.
    EXPECT_TRUE(seed % 2 == 0 || run.AwaitStep(1));
    const absl::Time start = absl::Now();
    const auto ended = [&] {
      const absl::StatusOr<RunSummary> summary = run.directory().ReadSummary();
      return summary.ok() && IsFinished(*summary);
    };
    for (const Deed& deed : deeds) {
      const bool over = WaitUntil(start + deed.at - absl::Now(), ended);
      // What has begun is ended all the same.
      if (!over || !deed.begins) Do(*deed.disturbance, deed.begins, absl::Now() - start);
    }
    EXPECT_TRUE(WaitUntil(kRunTimeout, ended)) << "the run did not end";
    Say(absl::StrCat("run ", run.State(), " ", absl::FormatDuration(absl::Now() - submitted), " after it was submitted, ",
                     num_done_, " disturbances, ", proxies_["coordinator"]->num_cut() + proxies_["grader"]->num_cut(),
                     " connections cut; ended and started again: ", absl::StrJoin(cluster_.Ends(), ", ")));
    Remains remains = ReadRemains(run);
    ExpectNothingLost();
    return remains;
  }
  int num_done() const { return num_done_; }
  void ShowLogs() const {
    for (const char* name : {"coordinator", "grader", "rollout-0", "rollout-1", "trainer"}) {
      std::printf("---- %s\n%s", name, ReadFile(cluster_.LogOf(name)).value_or("").c_str());
    }
  }

 private:
  static std::filesystem::path MakeFolder(const std::filesystem::path& path) {
    std::filesystem::create_directories(path);
    return path;
  }
  std::filesystem::path Path(const std::string& name) const { return folder_.path() / (name + ".sock"); }
  std::string Socket(const std::string& name) const { return absl::StrCat("unix:", Path(name).string()); }
  static void Say(const std::string& text) { std::printf("[ chaos    ] %s\n", text.c_str()); }

  RunOnDisk Submit() {
    const std::filesystem::path file =
        session_.WriteRunFile({{"steps", absl::StrCat(kSteps)}, {"rollout.prompts_per_step", "6"}});
    const absl::StatusOr<RunFile> parsed = ParseRunFile(ReadFile(file).value_or(""), file.string(), session_.home());
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    RunSummary run;
    run.run_id = kRunId;
    run.name = "chaos";
    run.steps_total = kSteps;
    run.slots = 1;
    if (!parsed.ok()) return RunOnDisk("");
    run.arm = parsed->config.arm;
    const absl::StatusOr<RunSummary> submitted =
        ConnectCoordinator({.address = Socket("coordinator")})->SubmitRun(run, ToYaml(parsed->config));
    EXPECT_TRUE(submitted.ok()) << submitted.status();
    return RunOnDisk(session_.home() / "runs" / kRunId);
  }

  bool SignalTarget(const std::string& target, int signal) {
    int rank = 0;
    if (!absl::StartsWith(target, "rank-") || !absl::SimpleAtoi(target.substr(5), &rank)) {
      return cluster_.Signal(target, signal);
    }
    // The launcher starts them in order.
    const std::vector<pid_t> ranks = cluster_.ChildrenOf("trainer");
    return static_cast<size_t>(rank) < ranks.size() && kill(ranks[static_cast<size_t>(rank)], signal) == 0;
  }

  void Do(const Disturbance& what, bool begins, absl::Duration now) {
    using Kind = Disturbance::Kind;
    bool done = true;
    switch (what.kind) {
      case Kind::kKill: done = SignalTarget(what.target, SIGKILL); break;
      case Kind::kStop: done = SignalTarget(what.target, begins ? SIGSTOP : SIGCONT); break;
      case Kind::kCut: proxies_.at(what.target)->Cut(); break;
      case Kind::kDelay:
        proxies_.at(what.target)->Delay(begins ? what.delay : absl::ZeroDuration());
        break;
      case Kind::kRefuse:
        proxies_.at(what.target)->Refuse(begins);
        if (begins) proxies_.at(what.target)->Cut();
        break;
    }
    num_done_ += done && begins;
    Say(absl::StrCat(absl::FormatDuration(absl::Trunc(now, absl::Milliseconds(1))), begins ? ": " : ": end of: ",
                     Describe(what), done ? "" : " (nobody there)"));
  }

  // A group that the coordinator gave up would be masked; then nothing could be as if it had been left alone.
  void ExpectNothingLost() const {
    EXPECT_THAT(ReadFile(cluster_.LogOf("coordinator")).value_or(""), Not(::testing::HasSubstr("\"group_lost\"")));
  }

  const TemporaryFolder folder_;  // of sockets, whose paths must be short
  RunSession session_;
  std::map<std::string, std::unique_ptr<BreakingProxy>> proxies_;
  LocalCluster cluster_;  // goes first
  ChaosTargets targets_;
  int num_done_ = 0;
};

void ExpectEqual(const Remains& got, const Remains& expected) {
  EXPECT_EQ(got.state, "succeeded") << got.error;
  EXPECT_EQ(got.checkpoint, expected.checkpoint);
  EXPECT_EQ(got.published, expected.published);
  EXPECT_EQ(got.steps_told, expected.steps_told);
  EXPECT_THAT(got.metrics, ElementsAreArray(expected.metrics));
  ASSERT_EQ(got.rollouts.size(), expected.rollouts.size());
  for (size_t i = 0; i < got.rollouts.size(); ++i) {
    EXPECT_THAT(got.rollouts[i], ElementsAreArray(expected.rollouts[i])) << "step " << i + 1;
  }
}

std::vector<uint64_t> Seeds() {
  const char* given = std::getenv("EVILMOE_CHAOS_SEEDS");
  const absl::StatusOr<std::vector<uint64_t>> seeds = ParseSeeds(given == nullptr ? kEverydaySeeds : given);
  EXPECT_TRUE(seeds.ok()) << "EVILMOE_CHAOS_SEEDS: " << seeds.status();
  return seeds.value_or(std::vector<uint64_t>());
}

// Of seeds divisible by 4, the trainer has two ranks.
int RanksOf(uint64_t seed) { return seed % 4 == 0 ? 2 : 1; }

TEST(Chaos, LeavesNoTrace) {
  std::map<int, Remains> undisturbed;
  int num_done = 0, num_runs = 0;
  for (const uint64_t seed : Seeds()) {
    const int ranks = RanksOf(seed);
    SCOPED_TRACE(absl::StrCat("EVILMOE_CHAOS_SEEDS=", seed, ", ", ranks, " ranks"));
    if (!undisturbed.contains(ranks)) {
      undisturbed[ranks] = ChaosRun(ranks).Run(0, 0);
      ASSERT_EQ(undisturbed[ranks].state, "succeeded") << undisturbed[ranks].error;
      ASSERT_THAT(undisturbed[ranks].metrics, SizeIs(kSteps));
      ASSERT_THAT(undisturbed[ranks].rollouts, Each(SizeIs(24)));
    }
    ChaosRun run(ranks);
    ExpectEqual(run.Run(seed, kNumDisturbances), undisturbed[ranks]);
    num_done += run.num_done();
    ++num_runs;
    if (HasFailure()) return run.ShowLogs();  // the next seeds would only bury it
  }
  EXPECT_GE(num_done, 3 * num_runs) << "the runs end before much can be done to them";
}

TEST(ChaosSchedule, IsAFunctionOfTheSeed) {
  const ChaosTargets targets = {.processes = {"a", "b"}, .proxies = {"p"}};
  const auto words = [&](uint64_t seed) {
    std::vector<std::string> lines;
    for (const Disturbance& one : MakeSchedule(seed, 20, targets)) lines.push_back(Describe(one));
    return lines;
  };
  EXPECT_EQ(words(7), words(7));
  EXPECT_NE(words(7), words(8));
  EXPECT_THAT(words(7), SizeIs(20));
}

TEST(ChaosSchedule, ReadsSeeds) {
  EXPECT_THAT(*ParseSeeds("3,1-2"), ElementsAreArray({3u, 1u, 2u}));
  for (const char* bad : {"", "x", "2-1", "1-2-3", "-1", "1,,2", "0-1000"}) {
    EXPECT_EQ(ParseSeeds(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace evilmoe
