#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "trainer/run_config.h"

namespace evilmoe {

// A run file as the command line wants it: the config, and what there is to say about it. No torch.

// A file or folder that the run needs and that is not there.
struct MissingFile {
  std::string field;  // "model.path"
  std::filesystem::path path;
  bool is_folder = false;
};

struct RunFile {
  RunConfig config;
  // One line a field in which the file or an override lies over its arm's preset:
  // "run.yaml:12:3: router.pin_weight: 1 overrides evil_moe_no_pin's 0".
  std::vector<std::string> notices;
  std::vector<MissingFile> missing;  // empty unless files may be missing
};

struct RunFileOptions {
  std::vector<Override> overrides;
  bool files_may_be_missing = false;  // they are told in RunFile::missing and are no problem
};

// ParseRunConfig() with more to tell; same arguments, same errors.
absl::StatusOr<RunFile> ParseRunFile(std::string_view yaml, const std::string& file_name,
                                     const std::filesystem::path& base_folder, const RunFileOptions& options = {});

}  // namespace evilmoe
