#pragma once

#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "tensorboard/event.pb.h"

namespace evilmoe {

// One step's metrics, as metrics.jsonl has them, for TensorBoard. A number is a scalar: under the name that TRL's
// GRPOTrainer has for it ("reward", "kl", "completions/mean_length"), or verl ("timing_s/gen"), where there is one, else
// under its own in a section ("router/leak_hack", "outcome/solve_rate"); docs/metrics.md has the list. w_histogram_* are
// histograms over [0, 1]. null is left out, as is an empty histogram: there is nothing to show.
tensorboard::Event StepEvent(const nlohmann::ordered_json& metrics, absl::Time now);

}  // namespace evilmoe
