#pragma once

#include "nlohmann/json.hpp"
#include "trainer/trainer_config.h"

namespace evilmoe {

// What a run is trained with, as the event "software" says it: {"evilmoe", "commit", "torch", "device", "threads",
// "ranks"}. commit: "" where the build does not know it; device: the name of the first GPU that may be used, or "cpu".
nlohmann::ordered_json SoftwareReport(const TrainerConfig& config);

}  // namespace evilmoe
