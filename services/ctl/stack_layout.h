#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/runs/run_directory.h"

namespace evilmoe {

// The processes of a stack on this machine, and the config files that they are started with. There are two kinds of
// stacks: the private one of a run, and the long-lived one of a home, which takes any number of runs.

// What a person may choose.
struct StackShape {
  int num_workers = 1;   // rollout processes, [1, 64]
  int num_ranks = 1;     // processes of a trainer that share each step, [1, 64]; they share the cores too
  int num_trainers = 1;  // long-lived: runs that train at a time, [1, 64]
  // Private: the stack stays so long after the run has ended: for Prometheus, which has yet to read the last values,
  // and for who submits another job on the run.
  absl::Duration linger = absl::Seconds(5);

  bool operator==(const StackShape&) const = default;
};

// As YAML, which ParseStackShape reads; InvalidArgument lists its problems.
std::string ToYaml(const StackShape& shape);
absl::StatusOr<StackShape> ParseStackShape(std::string_view yaml, const std::string& file_name);

// Long-lived: where the coordinator listens beside its socket, and how it is protected there (coordinator.yaml).
struct StackListener {
  std::string address;                            // "host:port"; empty = nowhere
  std::string certificate, key, client_ca, tokens;  // files; empty = none
  bool insecure = false;
};

// Everything that the config files are made of.
struct StackLayout {
  std::filesystem::path binaries;  // folder with evilmoe-coordinator and the others
  std::filesystem::path sockets;   // a short folder: a socket's path has at most 107 bytes
  std::filesystem::path configs;   // gets <process>.yaml
  std::filesystem::path logs;      // gets <process>.{log,stderr,ready.json}
  std::filesystem::path database;
  std::filesystem::path targets;  // for Prometheus
  std::filesystem::path run;      // private: directory of its one run
  std::filesystem::path runs;     // long-lived: folder of the runs' directories
  std::string run_id;             // private
  int num_cores = 1;
  StackShape shape;
  StackListener listener;
};

// Of a run, or of a home; binaries, sockets, cores, shape and listener are left to the caller.
StackLayout PrivateLayout(const RunDirectory& directory);
StackLayout LongLivedLayout(const HomeDirectory& home);

// One process: `name` names its files too.
struct StackProcess {
  std::string name;    // coordinator | grader | rollout-<n> | trainer[-<n>]
  std::string binary;  // evilmoe-...
  bool is_trainer = false;
};

// The coordinator first, then what dials it.
std::vector<StackProcess> StackProcesses(const StackShape& shape);
// "unix:<sockets>/coordinator.sock".
std::string CoordinatorAddress(const std::filesystem::path& sockets);
// The config file of a process. `life` counts its starts: a rollout worker's id is new in every life, a trainer's name
// is the same in all.
std::string ProcessConfigYaml(const StackLayout& layout, const StackProcess& process, int life);

// Where the coordinator serves the page: "http://127.0.0.1:1234/"; "" before it has said so.
std::string PageUrl(const StackLayout& layout);

// Metrics ports that the processes have reported so far, as a Prometheus file_sd list.
std::string TargetsJson(const StackLayout& layout);

}  // namespace evilmoe
