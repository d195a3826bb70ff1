#pragma once

#include "nlohmann/json.hpp"

namespace evilmoe {

// What a trainer of this build can compute on, for `evilmoe-ctl doctor`:
// {"torch", "cuda_build", "gpus": [{"index", "name", "memory_bytes"}], "nccl": its version or null}.
nlohmann::ordered_json DeviceReport();

}  // namespace evilmoe
