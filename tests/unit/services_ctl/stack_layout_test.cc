#include "services/ctl/stack_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/clock.h"
#include "common/file.h"
#include "common/logger.h"
#include "services/ctl/stack_choice.h"
#include "services/ctl/targets_file.h"

namespace evilmoe {
namespace {

StackLayout Private(StackShape shape = {.num_workers = 2}) {
  StackLayout layout = PrivateLayout(RunDirectory{"/runs/X"});
  layout.sockets = "/tmp/evilmoe-abc";
  layout.num_cores = 5;
  layout.binaries = "/bin";
  layout.shape = shape;
  return layout;
}

StackLayout LongLived(StackShape shape = {.num_workers = 2}) {
  StackLayout layout = LongLivedLayout(HomeDirectory{"/runs"});
  layout.sockets = "/tmp/evilmoe-abc";
  layout.num_cores = 8;
  layout.shape = shape;
  return layout;
}

std::vector<std::string> NamesOf(const StackShape& shape) {
  std::vector<std::string> names;
  for (const StackProcess& process : StackProcesses(shape)) names.push_back(process.name);
  return names;
}

TEST(StackProcesses, StartsWithTheCoordinator) {
  EXPECT_EQ(NamesOf({.num_workers = 2}),
            (std::vector<std::string>{"coordinator", "grader", "rollout-0", "rollout-1", "trainer"}));
  EXPECT_EQ(NamesOf({.num_workers = 1, .num_trainers = 2}),
            (std::vector<std::string>{"coordinator", "grader", "rollout-0", "trainer-0", "trainer-1"}));
}

TEST(ProcessConfigYaml, NamesWhatEachProcessReads) {
  const StackLayout layout = Private();
  const std::vector<StackProcess> processes = StackProcesses(layout.shape);
  EXPECT_EQ(ProcessConfigYaml(layout, processes[0], 1),
            "listen: [\"unix:/tmp/evilmoe-abc/coordinator.sock\"]\n"
            "database: /runs/X/store.db\n"
            "lease_timeout_s: 10\n"
            "log: /runs/X/logs/coordinator.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/coordinator.ready.json\n");
  EXPECT_EQ(ProcessConfigYaml(layout, processes[1], 1),
            "listen: [\"unix:/tmp/evilmoe-abc/grader.sock\"]\n"
            "slots: 5\n"
            "log: /runs/X/logs/grader.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/grader.ready.json\n");
  EXPECT_EQ(ProcessConfigYaml(layout, processes[3], 4),
            "coordinator: \"unix:/tmp/evilmoe-abc/coordinator.sock\"\n"
            "grader: \"unix:/tmp/evilmoe-abc/grader.sock\"\n"
            "worker_id: rollout-1.4\n"
            "threads: 2\n"
            "log: /runs/X/logs/rollout-1.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/rollout-1.ready.json\n");
  EXPECT_EQ(ProcessConfigYaml(layout, processes[4], 3),
            "coordinator: \"unix:/tmp/evilmoe-abc/coordinator.sock\"\n"
            "run_directory: /runs/X\n"
            "trainer_id: trainer\n"
            "threads: 5\n"
            "log: /runs/X/logs/trainer.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/trainer.ready.json\n");
}

TEST(ProcessConfigYaml, ALongLivedStackServesAFolderOfRuns) {
  StackLayout layout = LongLived({.num_workers = 1, .num_ranks = 2, .num_trainers = 2});
  layout.listener = {"0.0.0.0:7000", "/c.pem", "/k.pem", "/ca.pem", "/tokens.yaml", true};
  const std::vector<StackProcess> processes = StackProcesses(layout.shape);
  EXPECT_EQ(ProcessConfigYaml(layout, processes[0], 1),
            "listen: [\"unix:/tmp/evilmoe-abc/coordinator.sock\", \"0.0.0.0:7000\"]\n"
            "database: /runs/coordinator.db\n"
            "lease_timeout_s: 10\n"
            "runs: /runs\n"
            "tls:\n"
            "  certificate: /c.pem\n"
            "  key: /k.pem\n"
            "  client_ca: /ca.pem\n"
            "tokens: /tokens.yaml\n"
            "insecure: true\n"
            "log: /runs/up/logs/coordinator.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/up/logs/coordinator.ready.json\n");
  EXPECT_EQ(ProcessConfigYaml(layout, processes[4], 1),
            "coordinator: \"unix:/tmp/evilmoe-abc/coordinator.sock\"\n"
            "trainer_id: trainer-1\n"
            "threads: 2\n"
            "ranks: 2\n"
            "stop_grace_s: 30\n"
            "log: /runs/up/logs/trainer-1.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/up/logs/trainer-1.ready.json\n");
}

TEST(ProcessConfigYaml, RanksShareTheCores) {
  StackLayout layout = Private({.num_workers = 2, .num_ranks = 2});
  const StackProcess trainer = StackProcesses(layout.shape).back();
  EXPECT_THAT(ProcessConfigYaml(layout, trainer, 1), ::testing::HasSubstr("threads: 2\nranks: 2\n"));
  layout.shape.num_ranks = 64;
  EXPECT_THAT(ProcessConfigYaml(layout, trainer, 1), ::testing::HasSubstr("threads: 1\nranks: 64\n"));
}

TEST(StackShape, ReadsBackAsItWasWritten) {
  const StackShape shape = {.num_workers = 3, .num_ranks = 2, .num_trainers = 4, .linger = absl::Seconds(90)};
  EXPECT_EQ(ToYaml(shape), "workers: 3\nranks: 2\ntrainers: 4\nlinger_s: 90\n");
  EXPECT_EQ(*ParseStackShape(ToYaml(shape), "shape.yaml"), shape);
  EXPECT_EQ(ParseStackShape("workers: 0\n", "shape.yaml").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ShapeOf, IsTheLastOneWithWhatIsChosen) {
  const RunDirectory directory{std::filesystem::path(::testing::TempDir()) / "shape_test"};
  std::filesystem::remove_all(directory.path);
  std::filesystem::create_directories(directory.StackConfigs());
  EXPECT_EQ(ShapeOf(directory, {}, {.num_workers = 2})->num_workers, 2) << "of an earlier version: none was noted";
  ASSERT_TRUE(WriteFileAtomic(directory.Shape(), ToYaml({.num_workers = 3, .num_ranks = 4})).ok());
  EXPECT_EQ(ShapeOf(directory, {}, {})->num_ranks, 4);
  EXPECT_EQ(ShapeOf(directory, {.ranks = 1}, {})->num_ranks, 1);
  EXPECT_EQ(ShapeOf(directory, {.ranks = 1}, {})->num_workers, 3);
  ASSERT_TRUE(WriteFileAtomic(directory.Shape(), ToYaml({.linger = absl::ZeroDuration()})).ok());
  EXPECT_EQ(ShapeOf(directory, {}, {})->linger, absl::Seconds(5)) << "of a start, and no part of the shape";
  ASSERT_TRUE(WriteFileAtomic(directory.Shape(), "ranks: many\n").ok());
  EXPECT_EQ(ShapeOf(directory, {}, {}).status().code(), absl::StatusCode::kInvalidArgument);
  std::filesystem::remove_all(directory.path);
}

TEST(CheckUnchosen, RefusesAChoiceForAStackThatIsThere) {
  EXPECT_TRUE(CheckUnchosen({}, "coordinator x:1").ok());
  const absl::Status status = CheckUnchosen({.ranks = 2}, "coordinator x:1");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("--ranks: is for a private stack, but the run goes to "
                                                                 "coordinator x:1"));
}

TEST(TargetsFile, IsWrittenOnceItCanBe) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "targets_file_test";
  std::filesystem::remove_all(folder);
  StackLayout layout = PrivateLayout(RunDirectory{folder / "run"});
  const RealClock clock;
  Logger logger = *Logger::Open("/dev/null", "test", clock);
  TargetsFile file(layout, logger);
  file.Update();
  EXPECT_FALSE(std::filesystem::exists(layout.targets)) << "there is no folder for it";
  std::filesystem::create_directories(layout.targets.parent_path());
  file.Update();
  EXPECT_EQ(ReadFile(layout.targets).value_or(""), TargetsJson(layout));
  std::filesystem::remove_all(folder);
}

TEST(TargetsJson, GathersThePortsThatAreKnown) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "targets_test";
  StackLayout layout = Private();
  layout.logs = folder;
  std::filesystem::create_directories(folder);
  ASSERT_TRUE(WriteFileAtomic(folder / "grader.ready.json", R"({"pid": 4, "metrics_port": 1234})").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "trainer.ready.json", "{\"pid\": 4").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "rollout-0.ready.json", R"({"metrics_port": 0})").ok());
  EXPECT_EQ(nlohmann::json::parse(TargetsJson(layout)), nlohmann::json::parse(R"([{"targets": ["127.0.0.1:1234"],
      "labels": {"job": "evilmoe-grader", "process": "grader", "run": "X"}}])"));
  layout.run_id = "";
  EXPECT_EQ(nlohmann::json::parse(TargetsJson(layout))[0]["labels"].size(), 2u) << "of no run alone";
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace evilmoe
