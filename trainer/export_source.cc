#include "trainer/export_source.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/yaml_reader.h"
#include "trainer/checkpoint.h"

namespace evilmoe {
namespace {

namespace fs = std::filesystem;
constexpr char kAdapterFile[] = "adapter.safetensors";

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool IsRunDirectory(const fs::path& path) { return Exists(path / "config.yaml") && Exists(path / "checkpoints"); }

// model.path of a run's config. Only that: an export must not fail over a data file that has moved since.
absl::StatusOr<fs::path> ModelOf(const fs::path& run) {
  EVILMOE_ASSIGN_OR_RETURN(const std::string text, ReadFile(run / "config.yaml", 1 << 20));
  YamlReader reader(text, (run / "config.yaml").string());
  std::string path;
  YamlSection root = reader.Root();
  root.Section("model").Field("path", &path);
  return path.empty() ? fs::path() : (run / path).lexically_normal();
}

absl::StatusOr<fs::path> CheckpointOf(const fs::path& run, std::optional<int64_t> checkpoint) {
  if (!checkpoint) {
    EVILMOE_ASSIGN_OR_RETURN(checkpoint, LatestCheckpoint(run));
    if (!checkpoint) return absl::NotFoundError(absl::StrCat(run.string(), ": the run has no checkpoint yet"));
  }
  const fs::path folder = run / "checkpoints" / absl::StrCat("step-", *checkpoint);
  if (Exists(folder)) return folder / kAdapterFile;
  return absl::NotFoundError(absl::StrCat("--checkpoint: ", *checkpoint, ", but there is no ", folder.string(),
                                          "; the last few are kept (checkpoint.keep)"));
}

}  // namespace

absl::StatusOr<ExportSource> FindExportSource(const fs::path& given, std::optional<int64_t> checkpoint) {
  if (!Exists(given)) {
    return absl::NotFoundError(absl::StrCat(
        given.string(), ": not found, expected a run's directory, a checkpoint's folder or an adapter file"));
  }
  std::error_code error;
  const fs::path path = fs::canonical(given, error);
  ExportSource source;
  if (IsRunDirectory(path)) {
    EVILMOE_ASSIGN_OR_RETURN(source.adapter, CheckpointOf(path, checkpoint));
  } else if (checkpoint) {
    return absl::InvalidArgumentError(
        absl::StrCat("--checkpoint: ", *checkpoint, ", but ", given.string(), " is no run's directory"));
  } else if (!fs::is_directory(path, error)) {
    source.adapter = path;
  } else if (Exists(path / kAdapterFile)) {
    source.adapter = path / kAdapterFile;
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        given.string(), ": expected a run's directory (config.yaml, checkpoints/) or a folder with ", kAdapterFile));
  }
  // RUN/checkpoints/step-N/adapter.safetensors, or a file that was put elsewhere in the run's directory.
  for (fs::path folder = source.adapter.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
    if (!IsRunDirectory(folder)) continue;
    EVILMOE_ASSIGN_OR_RETURN(source.model, ModelOf(folder));
    break;
  }
  return source;
}

}  // namespace evilmoe
