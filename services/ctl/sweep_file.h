#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/run_config.h"

namespace evilmoe {

// A sweep file: one run file under every combination of arms, seeds and values of fields.
//
//   name: nano-rank                # of the sweep
//   run: run.yaml                  # relative to this file
//   arms: [evil_moe, absorb]       # absent: the run file's
//   seeds: [0, 1, 2]               # absent: the run file's
//   fields: {adapter.rank: [4, 8]} # any field of a run file

struct SweepRun {
  std::string name;  // "<sweep>.<arm>.rank-4.s0": what varies, so that it is the same at every start
  RunConfig config;
  std::string config_yaml;  // resolved
};

struct Sweep {
  std::string name;
  std::vector<SweepRun> runs;  // the first field varies slowest, then the arm, seeds fastest
};

inline constexpr size_t kMaxSweepRuns = 1000;

// Parses a sweep file and resolves every run of it. InvalidArgument lists every problem, one a line: of the file with its
// line and column; of runs with the run file's, once where all runs have it, else with the run's name. NotFound: the
// run file.
absl::StatusOr<Sweep> ReadSweep(std::string_view yaml, const std::string& file_name,
                                const std::filesystem::path& folder);

}  // namespace evilmoe
