#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "absl/status/statusor.h"
#include "policy/model_config.h"
#include "trainer/run_config.h"
#include "trainer/trained_adapter.h"

namespace evilmoe {

// The adapter that a run trains, at its init, on `device`. InvalidArgument: `network` cannot hold it.
absl::StatusOr<std::unique_ptr<TrainedAdapter>> MakeAdapter(const RunConfig& config, const Qwen3Config& network,
                                                            c10::Device device);

}  // namespace evilmoe
