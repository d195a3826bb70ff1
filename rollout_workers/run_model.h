#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace evilmoe {

// All that a worker takes of a run's config: data files, pairs and the rest are the trainer's, and need not be on this
// host.
struct RunModel {
  std::filesystem::path folder;   // absolute
  std::string dtype = "float32";  // float32 | bfloat16
};

// `config_yaml`: a run's resolved config. InvalidArgument: it is none, names no absolute folder, or another dtype.
absl::StatusOr<RunModel> ReadRunModel(std::string_view config_yaml);

}  // namespace evilmoe
