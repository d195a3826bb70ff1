#pragma once

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "tensorboard/event.pb.h"

namespace evilmoe {

// One step's metrics, as metrics.jsonl has them, for TensorBoard: each number is a scalar of its name under a section
// ("loss/kl", "time/step_seconds"), w_histogram_* are histograms over [0, 1]. null is left out, as is an empty
// histogram: there is nothing to show.
tensorboard::Event StepEvent(const nlohmann::ordered_json& metrics, absl::Time now);

}  // namespace evilmoe
