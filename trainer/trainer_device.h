#pragma once

#include <c10/core/Device.h>

#include <string>

#include "absl/status/statusor.h"

namespace evilmoe {

// Where a rank computes: "cpu", "cuda", or "auto", which is cuda where the build has it and the machine a GPU. Ranks of a
// machine take its GPUs in turn. FailedPrecondition: cuda is asked for and there is none.
absl::StatusOr<c10::Device> TrainerDevice(const std::string& name, int rank);

}  // namespace evilmoe
