#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"

namespace evilmoe {

// What tells one base model from another: SHA-256 over every tensor of `model_folder` in order of its name, each with
// its name, dtype, shape and bytes. How the tensors are split over files, the order inside them and their metadata do
// not matter; one changed bit, one renamed tensor, or another dtype of the same numbers does. 64 lower-case hex digits.
//
// Reads all of the weights once, 16 MiB at a time, on the calling thread: bound by the disk or by one core's SHA-256
// (README.md). Errors of Safetensors::OpenFolder.
absl::StatusOr<std::string> WeightsFingerprint(const std::filesystem::path& model_folder);

}  // namespace evilmoe
