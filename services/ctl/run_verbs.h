#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/follow.h"
#include "services/ctl/run_catalog.h"
#include "services/ctl/stack_choice.h"
#include "services/ctl/verb.h"
#include "trainer/run_config.h"

namespace evilmoe {

// The verbs that make a run go on, and follow it.

struct SubmitCommand {
  std::filesystem::path file;
  std::vector<std::string> sets;  // "a.b=c"
  std::optional<uint64_t> seed;
  std::optional<std::string> name;
  bool dry_run = false;
  bool detach = false;
  int priority = 0;
  std::optional<int> slots;
  std::string sweep;
  StackChoice stack;
};
void AddSubmitOptions(VerbOptions& options, SubmitCommand& command);
absl::StatusOr<int> Submit(const SubmitCommand& command, const VerbContext& context);

struct AblateCommand {
  std::string run;
  std::optional<int64_t> checkpoint;
  std::optional<int64_t> samples;
  std::optional<int64_t> relearn;
  std::filesystem::path problems;
  bool detach = false;
  StackChoice stack;
};
void AddAblateOptions(VerbOptions& options, AblateCommand& command);
absl::StatusOr<int> Ablate(const AblateCommand& command, const VerbContext& context);

std::vector<Verb> RunVerbs();

// --set, --seed and --name, in that order, as ParseRunConfig takes them.
std::vector<Override> OverridesOf(const SubmitCommand& command);
// A fresh run of this config as a coordinator is told of it; without a directory.
RunSummary NewRun(const RunConfig& config, const Clock& clock);
// Makes the run's directory below `home`, with its config and summary, and sets run.directory.
absl::Status MakeRunDirectory(RunSummary& run, const std::string& config_yaml, const std::filesystem::path& home);
// Queues a run: with the coordinator of the catalog, or with a private stack of `shape`. Returns it as it stands then.
absl::StatusOr<FoundRun> StartRun(RunSummary run, const std::string& config_yaml, const StackShape& shape,
                                  RunCatalog& catalog, const VerbContext& context);

// What a verb prints of a run that goes on: id, name and directory, or its JSON.
void PrintStarted(const FoundRun& found, const VerbContext& context);
std::string HowToComeBack(const std::string& run_id);
// Follows a run to its end and prints how it ended: the report's path and the ablation's final line last. Also behind
// `logs --follow`.
absl::StatusOr<int> FollowToTheEnd(const FoundRun& found, int64_t after_seq, const VerbContext& context);

}  // namespace evilmoe
