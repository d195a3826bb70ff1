#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "absl/status/statusor.h"

namespace evilmoe {

// Which files a word of `export` stands for.
struct ExportSource {
  std::filesystem::path adapter;  // adapter.safetensors
  std::filesystem::path model;  // the base that the run's config.yaml names; empty: the file is not in a run directory
};

// `path`: an adapter file, a folder that holds adapter.safetensors (a checkpoint's), or a run directory, of which the
// last checkpoint is taken, or that of step `checkpoint`. NotFound: nothing there, or no such checkpoint;
// InvalidArgument: a folder of another kind, or a checkpoint of what is no run directory.
absl::StatusOr<ExportSource> FindExportSource(const std::filesystem::path& path, std::optional<int64_t> checkpoint);

}  // namespace evilmoe
