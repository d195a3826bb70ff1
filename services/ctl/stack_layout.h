#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/ctl/run_directory.h"

namespace evilmoe {

// The processes of one run's private stack, and the config files that they are started with.

// What a person may choose.
struct StackShape {
  int num_workers = 1;  // rollout processes, [1, 64]
  int num_ranks = 1;    // the trainer's processes that share each step, [1, 64]; they share the cores too
  // The stack stays so long after the run has ended: for Prometheus, which has yet to read the last values,
  // and for who submits another job on the run.
  absl::Duration linger = absl::Seconds(5);
};

struct StackOptions {
  RunDirectory directory;
  std::filesystem::path sockets;  // a short folder: a socket's path has at most 107 bytes
  int num_cores = 1;
  std::filesystem::path binaries;  // folder with evilmoe-coordinator and the others
  StackShape shape;
  absl::Duration term_timeout = absl::Seconds(5);  // between SIGTERM and SIGKILL
};

// One process: `name` names its files too: logs/<name>.{log,stderr,ready.json} and stack/<name>.yaml.
struct StackProcess {
  std::string name;    // coordinator | grader | rollout-<n> | trainer
  std::string binary;  // evilmoe-...
  bool is_trainer = false;
};

// The coordinator first, then what dials it.
std::vector<StackProcess> StackProcesses(int num_workers);
// "unix:<sockets>/coordinator.sock".
std::string CoordinatorAddress(const std::filesystem::path& sockets);
// The config file of a process. `life` counts its starts: a rollout worker's id is new in every life.
std::string ProcessConfigYaml(const StackOptions& options, const StackProcess& process, int life);

// Metrics ports that the processes have reported so far, as a Prometheus file_sd list.
std::string TargetsJson(const StackOptions& options, const std::string& run_id);

}  // namespace evilmoe
