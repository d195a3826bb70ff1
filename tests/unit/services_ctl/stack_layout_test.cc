#include "services/ctl/stack_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/file.h"

namespace evilmoe {
namespace {

const StackOptions kOptions = {.directory = RunDirectory{"/runs/X"},
                               .sockets = "/tmp/evilmoe-abc",
                               .num_cores = 5,
                               .binaries = "/bin",
                               .shape = {.num_workers = 2}};

TEST(StackProcesses, StartsWithTheCoordinator) {
  std::vector<std::string> names;
  for (const StackProcess& process : StackProcesses(2)) names.push_back(process.name);
  EXPECT_EQ(names, (std::vector<std::string>{"coordinator", "grader", "rollout-0", "rollout-1", "trainer"}));
}

TEST(ProcessConfigYaml, NamesWhatEachProcessReads) {
  const std::vector<StackProcess> processes = StackProcesses(2);
  EXPECT_EQ(ProcessConfigYaml(kOptions, processes[0], 1),
            "listen: [\"unix:/tmp/evilmoe-abc/coordinator.sock\"]\n"
            "database: /runs/X/store.db\n"
            "lease_timeout_s: 10\n"
            "log: /runs/X/logs/coordinator.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/coordinator.ready.json\n");
  EXPECT_EQ(ProcessConfigYaml(kOptions, processes[1], 1),
            "listen: [\"unix:/tmp/evilmoe-abc/grader.sock\"]\n"
            "slots: 5\n"
            "log: /runs/X/logs/grader.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/grader.ready.json\n");
  EXPECT_EQ(ProcessConfigYaml(kOptions, processes[3], 4),
            "coordinator: \"unix:/tmp/evilmoe-abc/coordinator.sock\"\n"
            "grader: \"unix:/tmp/evilmoe-abc/grader.sock\"\n"
            "worker_id: rollout-1.4\n"
            "threads: 2\n"
            "log: /runs/X/logs/rollout-1.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/rollout-1.ready.json\n");
  EXPECT_EQ(ProcessConfigYaml(kOptions, processes[4], 1),
            "coordinator: \"unix:/tmp/evilmoe-abc/coordinator.sock\"\n"
            "run_directory: /runs/X\n"
            "trainer_id: trainer.1\n"
            "threads: 5\n"
            "log: /runs/X/logs/trainer.log\n"
            "metrics_listen: \"127.0.0.1:0\"\n"
            "ready_file: /runs/X/logs/trainer.ready.json\n");
}

TEST(ProcessConfigYaml, RanksShareTheCores) {
  StackOptions options = kOptions;
  options.shape.num_ranks = 2;
  const std::string yaml = ProcessConfigYaml(options, StackProcesses(2)[4], 1);
  EXPECT_THAT(yaml, ::testing::HasSubstr("threads: 2\nranks: 2\n"));
  options.shape.num_ranks = 64;
  EXPECT_THAT(ProcessConfigYaml(options, StackProcesses(2)[4], 1), ::testing::HasSubstr("threads: 1\nranks: 64\n"));
}

TEST(TargetsJson, GathersThePortsThatAreKnown) {
  StackOptions options = kOptions;
  options.directory.path = std::filesystem::path(::testing::TempDir()) / "targets_test";
  std::filesystem::create_directories(options.directory.Logs());
  ASSERT_TRUE(
      WriteFileAtomic(options.directory.Logs() / "grader.ready.json", R"({"pid": 4, "metrics_port": 1234})").ok());
  ASSERT_TRUE(WriteFileAtomic(options.directory.Logs() / "trainer.ready.json", "{\"pid\": 4").ok());
  ASSERT_TRUE(WriteFileAtomic(options.directory.Logs() / "rollout-0.ready.json", R"({"metrics_port": 0})").ok());
  const nlohmann::json targets = nlohmann::json::parse(TargetsJson(options, "X"));
  EXPECT_EQ(targets, nlohmann::json::parse(R"([{"targets": ["127.0.0.1:1234"],
      "labels": {"job": "evilmoe-grader", "process": "grader", "run": "X"}}])"));
  std::filesystem::remove_all(options.directory.path);
}

}  // namespace
}  // namespace evilmoe
