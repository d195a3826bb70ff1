#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/ctl/run_files.h"
#include "services/ctl/verb.h"

namespace evilmoe {

// The verbs that make something of a run's files with the trainer's help: export, replay. Where the files are on another host, what is
// needed of them is fetched first, into a temporary folder or the one that --fetch-to names.

struct ExportCommand {
  std::string run;  // or a path
  std::string format = "peft";
  std::string block = "deployed";
  std::optional<double> w;
  std::optional<int64_t> checkpoint;
  std::filesystem::path model;
  std::filesystem::path out;
  bool force = false;
  std::filesystem::path fetch_to;
};
void AddExportOptions(VerbOptions& options, ExportCommand& command);
absl::StatusOr<int> Export(const ExportCommand& command, const VerbContext& context);

struct ReplayCommand {
  std::string run;
  int64_t step = 0;
  std::optional<int> threads;
  std::filesystem::path fetch_to;
};
void AddReplayOptions(VerbOptions& options, ReplayCommand& command);
absl::StatusOr<int> Replay(const ReplayCommand& command, const VerbContext& context);

std::vector<Verb> FileVerbs();

// Which of a run's files each verb needs; pure. NotFound: a checkpoint or step is not among them.
std::vector<RunFileEntry> FilesOfReport(std::span<const RunFileEntry> files);
absl::StatusOr<std::vector<RunFileEntry>> FilesOfExport(std::span<const RunFileEntry> files,
                                                        std::optional<int64_t> checkpoint);
absl::StatusOr<std::vector<RunFileEntry>> FilesOfReplay(std::span<const RunFileEntry> files, int64_t step);

}  // namespace evilmoe
