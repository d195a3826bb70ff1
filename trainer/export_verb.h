#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "policy/peft_export.h"

namespace evilmoe {

// The offline verb `export`: an adapter for use outside of this project.
struct ExportOptions {
  std::filesystem::path source;       // a run's directory, a checkpoint's folder or an adapter file
  std::optional<int64_t> checkpoint;  // step, of a run's directory; unset: the last
  std::filesystem::path model;        // folder of the base; empty: the one that the run's config names
  // peft         adapter_model.safetensors and adapter_config.json, for peft
  // merged       a whole model folder, for transformers
  // safetensors  adapter.safetensors, for this project: byte for byte, or with the quarantine at its init (deployed)
  std::string format = "peft";
  ExportBlock block = ExportBlock::kDeployed;
  std::optional<double> w;  // of the quarantine, [0, 1], full block alone; unset: 1
  std::filesystem::path out;
  bool force = false;  // replace an earlier export at `out`
};

// Writes `out` whole or not at all, then a summary. One line: NotFound (source, checkpoint, model), InvalidArgument
// (options that do not go together, another network), DataLoss (no adapter), FailedPrecondition (`out` is in use),
// Unavailable.
absl::Status RunExport(const ExportOptions& options, std::ostream& summary);

// 0; 2 for bad input, 4 where something is not there, 1 for the rest.
int ExportExitCode(const absl::Status& status);

}  // namespace evilmoe
